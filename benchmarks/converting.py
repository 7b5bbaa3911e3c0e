"""The correlator's sub-bands to an MS, by the platform and by pyuvdata.

Belongs here: both sides of that comparison, timed. Doesn't: their order (see `.running`).
"""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fresh import timed_alone
from benchmarks.measure import Measured, have_memory_at_hand, measured
from benchmarks.ours import load
from contimg_resources.correlator.convert import convert_sub_bands
from contimg_resources.correlator.model import ConversionRequest


@dataclass(frozen=True)
class PeerConversion:
    """Request of a conversion by pyuvdata.

    Parameters
    ----------
    files : tuple of Path
        The sub-bands, by number.
    ms : Path
        Path of the MS; an existing one is removed before.
    declination_deg : float
        Apparent declination of the dishes, degrees.
    """

    files: tuple[Path, ...]
    ms: Path
    declination_deg: float


def convert(request: ConversionRequest) -> Measured:
    """Time the conversion in a CASA process; modules are loaded beforehand, as the peer's are."""
    import astropy.time
    import astropy.utils.iers  # noqa: F401

    load()
    return measured(lambda: convert_sub_bands(request))


def pyuvdata_converts(task: PeerConversion) -> Measured:
    """Time reading, phasing every integration and writing, in a process without CASA."""
    import astropy.units as u
    from astropy.coordinates import HADec, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers
    from pyuvdata import UVData

    iers.conf.auto_download = False
    shutil.rmtree(task.ms, ignore_errors=True)

    def work() -> None:
        parts = []
        for number, file in enumerate(task.files):
            part = UVData.from_file(str(file), file_type="uvh5", run_check=False)
            part.uvw_array = part.uvw_array.astype(np.float64)
            part.spw_array = np.array([number])
            part.flex_spw_id_array = np.full(part.Nfreqs, number)
            parts.append(part)
        whole = parts[0].fast_concat(parts[1:], "freq", run_check=False)
        del parts
        for k, jd in enumerate(np.unique(whole.time_array)):
            place = SkyCoord(
                HADec(
                    ha=0 * u.rad,
                    dec=task.declination_deg * u.deg,
                    obstime=Time(jd, format="jd"),
                    location=whole.telescope.location,
                )
            ).icrs
            whole.phase(
                lon=place.ra.rad,
                lat=place.dec.rad,
                cat_name=f"meridian_icrs_t{k}",
                cat_type="sidereal",
                phase_frame="icrs",
                select_mask=whole.time_array == jd,
            )
        whole.write_ms(str(task.ms), run_check=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        have_memory_at_hand()
        _, found = timed_alone(work)
    return found
