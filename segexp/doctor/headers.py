"""What the header of a picture file says, and why a file can't be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from segexp.doctor.findings import Finding
from segexp.functional.bands import most_pixels
from segexp.functional.images import LOSSY

ORIENTATION = 274  # the EXIF tag
TURNED = (5, 6, 7, 8)  # orientations that swap height and width
PNG = b"\x89PNG\r\n\x1a\n"
MAGIC = (PNG, b"\xff\xd8\xff", b"GIF8", b"RIFF")
TIFF = (b"II", b"MM")  # Pillow doesn't know all of them
SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
}
KNOWN_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


@dataclass(frozen=True)
class Header:
    """What a file claims to hold; `size` as stored, before any EXIF orientation."""

    format: str
    mode: str
    size: tuple[int, int]
    frames: int
    orientation: int
    alpha: bool

    @property
    def seen(self) -> tuple[int, int]:
        """The size after the EXIF orientation."""
        return self.size[::-1] if self.orientation in TURNED else self.size

    @property
    def colors(self) -> bool:
        """Whether several bands are stored: no index map."""
        return self.mode not in ("1", "L", "P", "F") and not self.mode.startswith("I")


def header(path: Path | None) -> Header | None:
    """The header of a picture file; None where there is no file, or Pillow doesn't know the format."""
    try:
        if path is None:
            return None
        with Image.open(path) as image:
            return Header(
                format=image.format or "",
                mode=image.mode,
                size=(image.height, image.width),
                frames=getattr(image, "n_frames", 1) if image.format != "MPO" else 1,  # its second picture is a preview
                orientation=_orientation(image),
                alpha="A" in image.getbands() or "transparency" in image.info,
            )
    except (OSError, SyntaxError, ValueError, EOFError):
        return None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError):  # a broken EXIF block
        return 1


def fault(path: Path, role: str) -> Finding | None:
    """Why a file can't be read; None where it can be, as far as its format is known here.

    Args:
        path: the file.
        role: `image` or `labels`.
    """
    try:
        kind, what = _fault(path, role)
    except PermissionError:
        kind, what = "no-permission", "the file can't be opened: permission denied"
    return Finding(kind, what, (str(path),)) if kind else None


def _fault(path: Path, role: str) -> tuple[str, str]:
    if path.is_symlink() and not path.exists():
        return f"missing-{role}", f"a link to {path.readlink()}, which doesn't exist"
    if not path.exists():
        return f"missing-{role}", "the file is missing"
    if not path.is_file():
        return "not-a-file", "a folder stands where the file should be"
    if path.stat().st_size == 0:
        return "empty-file", "the file is empty"
    with path.open("rb") as file:
        start = file.read(16)
    return _undecodable(path, start) if path.suffix.lower() != ".npy" else ("", "")


def _undecodable(path: Path, start: bytes) -> tuple[str, str]:
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > most_pixels():
                return "huge-picture", f"{width}x{height} pixels; the limit is {most_pixels()}"
            image.load()
    except UnidentifiedImageError:
        if start.startswith(MAGIC):
            return "truncated-file", "begins as a picture, but not even its header is whole"
        if start.startswith(TIFF):
            return "", ""
        return "not-an-image", f"the file begins with {start[:8]!r}"
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        cut = "truncated" in str(error) or "Truncated" in str(error) or isinstance(error, EOFError)
        return ("truncated-file" if cut else "corrupt-file"), f"it can't be decoded: {error}"
    return "", ""


def noticed(path: Path, found: Header, role: str, channels: int) -> list[Finding]:
    """What is odd about a file that Pillow can open.

    Args:
        path: the file.
        found: its header.
        role: `image` or `labels`.
        channels: that the data set's pictures have.
    """
    findings = []
    suffix = path.suffix.lower()
    if suffix in KNOWN_SUFFIXES and suffix not in SUFFIXES.get(found.format, (suffix,)):
        findings.append(Finding("wrong-suffix", f"a {found.format} file that is called {path.suffix}", (str(path),)))
    if role == "labels" and found.format in LOSSY:
        findings.append(Finding("jpeg-labels", f"labels are stored as {found.format}", (str(path),)))
    if found.frames > 1 and found.format != "TIFF":  # whose pages a data set may take for channels or for samples
        findings.append(Finding("multi-page", f"{found.frames} frames in one file", (str(path),)))
    if role == "image" and found.alpha:
        findings.append(Finding("alpha", f"the picture has transparency ({found.mode})", (str(path),)))
    return findings


def turned(picture: Path, seen: Header, labels: Path, mask: Header) -> Finding | None:
    """Whether an EXIF orientation of the picture parts it from its labels, or a difference of sizes does."""
    pair = (str(picture), str(labels))
    if seen.seen != mask.seen:
        if seen.orientation != 1 and seen.size == mask.size:
            what = f"EXIF turns the picture to {_text(seen.seen)} (orientation {seen.orientation}), its labels are {_text(mask.size)}"
            return Finding("exif-rotation", what, pair)
        return Finding("size-mismatch", f"the picture is {_text(seen.seen)}, its labels are {_text(mask.seen)}", pair)
    square = seen.size[0] == seen.size[1]
    if seen.orientation != 1 and (seen.orientation not in TURNED or square) and mask.orientation == 1:
        return Finding("exif-ambiguous", f"EXIF turns or mirrors the picture (orientation {seen.orientation})", pair)
    return None


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]} (width x height)"
