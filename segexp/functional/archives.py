"""Archives that a data set is published in: fetched, verified, unpacked without a way out of their folder."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from segexp.errors import DataError


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


def unpack(archive: Path, into: Path, last: str) -> None:
    """Unpack a tar archive beside what is there; until the end nothing can be taken for complete.

    Args:
        archive: the file.
        into: the folder; the archive's own folders come into it.
        last: folders of this name are put in place after all others, because their being there says that the rest is.

    Raises:
        DataError: not an archive, cut, or with a member that would lie elsewhere, is a device, or links outside.
    """
    staging = into / f".{archive.name}.{os.getpid()}"
    try:
        staging.mkdir(parents=True)
        print(f"unpacking {archive}", flush=True)
        with tarfile.open(archive) as opened:
            opened.extractall(staging, filter="data")
        _merge(staging, into, last)
    except (tarfile.TarError, EOFError, OSError) as error:
        fix = "fetch it anew; delete it if it isn't what its publisher offers"
        raise DataError(f"the archive can't be unpacked ({error})", where=str(archive), fix=fix) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _merge(source: Path, target: Path, last: str) -> None:
    for child in sorted(source.iterdir(), key=lambda path: (path.name == last, path.name)):
        place = target / child.name
        if child.is_dir() and place.is_dir():
            _merge(child, place, last)
        else:
            child.replace(place)
