"""The implementation of contimg's Dagster assets, usable without Dagster.

One folder for each topic: the calibration registry, the products store, observations, CASA,
calibration, imaging, simulation, the command line. Nothing here imports ``contimg_assets`` (the
command line may), and ``dagster`` is imported only in the ``resource.py`` of a folder.
"""

import os
from typing import TYPE_CHECKING, Any

from contimg_resources.core.surroundings import ignore_impossible_threads

if TYPE_CHECKING:
    from contimg_resources.state import SkyImage, State, open_state

__all__ = ["SkyImage", "State", "__version__", "open_state"]

__version__ = "0.1.0"

# Before numpy, numba or ducc0 are imported: each of them reads its variable once.
ignore_impossible_threads(os.environ)


def __getattr__(name: str) -> Any:
    # Loaded on first use, since they import the stores and astropy.
    if name in ("SkyImage", "State", "open_state"):
        from contimg_resources import state

        return getattr(state, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
