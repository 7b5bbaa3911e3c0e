"""The document of image quality.

Belongs here: its columns. Doesn't: measuring.
"""

from contimg_resources.export.numbers import MJD_DECIMALS, finite, rounded
from contimg_resources.export.pages import Paged, columns
from contimg_resources.export.state import PlatformState

_MEASURES = (
    "rms_mjy",
    "expected_rms_mjy",
    "dynamic_range",
    "bmaj_arcsec",
    "bmin_arcsec",
    "n_sources",
    "flux_ratio",
    "offset_arcsec",
    "flag_fraction",
)
_COUNTS = ("n_sources",)


def quality_document(state: PlatformState) -> Paged:
    """Return the measures of the images by time."""
    imaged = [o for o in state.observations if o.key in state.images]
    keys = [o.key for o in imaged]
    mids_mjd = [rounded(o.mid_mjd, MJD_DECIMALS) for o in imaged]
    measures = {
        name: [
            value if name in _COUNTS else finite(value)
            for value in (getattr(state.images[key], name) for key in keys)
        ]
        for name in _MEASURES
    }
    return columns("image_quality", {"key": keys, "mid_mjd": mids_mjd, **measures}, keys, mids_mjd)
