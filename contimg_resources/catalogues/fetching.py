"""Download surveys from their publishers.

Belongs here: addresses, downloads with a size limit. Doesn't: reading the file.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import CatalogueError, in_words_of_network

_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20
#: Larger than any of these surveys.
_MOST_BYTES = 5 << 30


@dataclass(frozen=True)
class Published:
    """A survey that can be downloaded."""

    survey: str  #: The survey's dialect.
    url: str  #: Its address.


#: By the name used on the command line.
PUBLISHED = {
    # Condon et al. 1998, AJ 115, 1693; 1.8 million sources.
    "nvss": Published(
        "nvss",
        "https://heasarc.gsfc.nasa.gov/FTP/heasarc/dbase/tdat_files/heasarc_nvss.tdat.gz",
    ),
    # Helfand, White & Becker 2015, ApJ 801, 26.
    "first": Published(
        "first",
        "https://sundog.stsci.edu/first/catalogs/first_14dec17.fits.gz",
    ),
}


@contextmanager
def fetched(url: str, progress: Progress = no_progress) -> Iterator[Path]:
    """Download a file and yield its path, with the name of the address; delete it afterwards.

    Raises
    ------
    CatalogueError
        If it can't be downloaded completely.
    """
    parts = urlsplit(url)
    name = Path(parts.path).name
    if parts.scheme not in ("http", "https") or not name:
        raise CatalogueError(f"{url!r} isn't the address of a file: http or https was expected")
    with TemporaryDirectory(prefix="contimg-catalogue-") as directory:
        path = Path(directory) / name
        try:
            with (
                # As it is: most surveys are compressed files.
                requests.get(
                    url,
                    headers={"Accept-Encoding": "identity"},
                    timeout=_TIMEOUT_S,
                    stream=True,
                ) as response,
                path.open("wb") as file,
            ):
                response.raise_for_status()
                # Counted below.
                response.raw.enforce_content_length = False
                size = int(response.headers.get("Content-Length") or 0)
                room = shutil.disk_usage(directory).free
                if size > min(_MOST_BYTES, room):
                    raise CatalogueError(
                        f"{url} has {size / 1e9:.1f} GB: above the limit or the free disk space"
                    )
                came = 0
                for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                    came += len(chunk)
                    if came > min(_MOST_BYTES, room):
                        raise CatalogueError(f"{url} exceeds the limit or the free disk space")
                    file.write(chunk)
                    progress(f"{came / 1e6:.0f} MB of {name}", came / size if size else None)
        except (HTTPError, OSError, ValueError) as error:
            raise CatalogueError(
                f"{url} can't be fetched: {in_words_of_network(error)}. Without a network, fetch "
                "it elsewhere and give the file to `contimg catalogue add`"
            ) from error
        if size and came != size:
            raise CatalogueError(f"{url} was cut off after {came} of {size} bytes")
        yield path
