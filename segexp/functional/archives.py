"""Archives that a data set is published in: fetched, verified, unpacked without a way out of their folder."""

from __future__ import annotations

import os
import shutil
import tarfile
import unicodedata
from pathlib import Path

from segexp.errors import DataError

MAX_MEMBERS = 2_000_000  # files and folders of one archive
MAX_RATIO = 100  # what is unpacked to the archive's own size; pictures are packed already
SLACK = 2**26  # bytes that a small archive may hold in any case


def fetch(url: str, md5: str, file: Path) -> None:
    """Download a file, or keep one that is there already; either has the checksum.

    Raises:
        DataError: no connection, or another content.
    """
    from torchvision.datasets.utils import check_integrity, download_url

    if check_integrity(str(file), md5):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    print(f"fetching {url} to {file}", flush=True)
    part = file.with_name(f"{file.name}.part{os.getpid()}")
    try:
        download_url(url, str(part.parent), part.name)
        if not check_integrity(str(part), md5):
            raise DataError(f"what was fetched hasn't the checksum {md5}", where=url, fix=f"try again, or put the file at {file}")
        part.replace(file)
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        fix = f"connect, or fetch it elsewhere and put it at {file}"
        raise DataError(f"the download failed ({error})", where=url, fix=fix) from None
    finally:
        part.unlink(missing_ok=True)


def unpack(archive: Path, into: Path, last: str, *, most: int | None = None) -> None:
    """Unpack a tar archive beside what is there; until the end nothing can be taken for complete.

    It may hold files and folders alone, none of them twice, and no more of them and no more bytes than archives of data do.

    Args:
        archive: the file.
        into: the folder; the archive's own folders come into it.
        last: folders of this name are put in place after all others, because their being there says that the rest is.
        most: bytes that may come out of it; `MAX_RATIO` times its size unless given.

    Raises:
        DataError: not an archive, cut, too large, or with a member that would lie elsewhere, is a link, or is a device.
    """
    staging = into / f".{archive.name}.{os.getpid()}"
    try:
        staging.mkdir(parents=True)
        print(f"unpacking {archive}", flush=True)
        with tarfile.open(archive) as opened:
            _extract(opened, staging, MAX_RATIO * archive.stat().st_size + SLACK if most is None else most)
        _merge(staging, into, last)
    except (tarfile.TarError, EOFError, OSError) as error:
        fix = "fetch it anew; delete it if it isn't what its publisher offers"
        raise DataError(f"the archive can't be unpacked ({error})", where=str(archive), fix=fix) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(opened: tarfile.TarFile, folder: Path, most: int) -> None:
    """One member after another, each looked at before it is written."""
    names: set[str] = set()
    total = 0
    for member in opened:
        total += member.size
        if why := _unfit(member, names) or (f"more than {most} bytes" if total > most else ""):
            raise tarfile.TarError(f"{member.name[:200]!r}: {why}")
        opened.extract(member, folder, filter="data")


def _unfit(member: tarfile.TarInfo, names: set[str]) -> str:
    """Why a member isn't unpacked; `names` are those that were, as a file system sees them that knows no case."""
    if not (member.isreg() or member.isdir()):
        return "neither a file nor a folder"
    name = unicodedata.normalize("NFC", member.name.rstrip("/")).casefold()
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "leads outside"
    if member.isreg() and name in names:
        return "a name that stands twice"
    names.add(name)
    return f"more than {MAX_MEMBERS} members" if len(names) > MAX_MEMBERS else ""


def _merge(source: Path, target: Path, last: str) -> None:
    for child in sorted(source.iterdir(), key=lambda path: (path.name == last, path.name)):
        place = target / child.name
        if child.is_dir() and place.is_dir():
            _merge(child, place, last)
        else:
            child.replace(place)
