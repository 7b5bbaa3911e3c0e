"""The software versions that are recorded with each product."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from contimg_resources import __version__


@cache
def software() -> dict[str, str]:
    """Return the software versions for a product's provenance."""
    found = {"contimg": __version__, "python": platform.python_version()}
    for package in ("casatools", "casatasks", "numpy", "astropy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
