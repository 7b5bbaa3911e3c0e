"""First act: NGC5921, observed with the VLA in 1995, compared with the published values.

Belongs here: import, solve, register, look up, apply, image, with the same code as for the DSA-110;
all of it twice, with the MS that CASA imports and with the MS that pyuvdata rewrites.
Doesn't: rewriting with pyuvdata (see `.foreign`), printing.
"""

from dataclasses import dataclass, replace
from math import log10
from pathlib import Path

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.solve.model import SolveResult
from contimg_resources.calibration.solve.solving import solve_caltables
from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import CalibrationFailed
from contimg_resources.demo.foreign import rewrite_by_pyuvdata
from contimg_resources.demo.ngc5921 import (
    CALIBRATOR,
    PHASE_FIELD,
    REFANT,
    REFANT_STATION,
    import_ngc5921,
    ngc5921_request,
)
from contimg_resources.imaging.make import make_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.registry.model import ActiveCaltables, NewCaltable, NewCaltableSet
from contimg_resources.settings import ImagingSettings
from contimg_resources.steps.calibrating import tables_to_apply
from contimg_resources.steps.workshop import Workshop

SET_NAME = "NGC5921"

#: 3C286 after Perley & Taylor (1999, VLA Calibrator Manual): log10 S[Jy] = sum a_k (log10 GHz)^k.
_PERLEY_TAYLOR_99 = (1.23734, -0.43276, -0.14223, 0.00345)
#: Band edges of the 63 channels carry no signal; the observatory images these.
CHANNELS = "0:6~56"
_TABLES_OF_ONE_FIELD = (CaltableType.K, CaltableType.BA, CaltableType.BP)


@dataclass(frozen=True)
class RealDataResult:
    """Results of NGC5921."""

    ratio: float  #: Flux density of 1445+099 over that of 3C286, from the solved gains.
    #: `flux_jy`, `flux_error_jy`: 1445+099 on the scale of Perley & Butler (2017), from the solved
    #: gains, Jy.
    flux_jy: float
    flux_error_jy: float
    image_peak_jy: float  #: Peak of the image of 1445+099, Jy/beam, on the same scale.
    #: The same on the scale of Perley & Taylor (1999), on which the observatory publishes, Jy.
    image_peak_pt99_jy: float
    image_rms_jy: float  #: rms of that image, Jy/beam.
    active: ActiveCaltables  #: The valid set in the registry.
    calibrated: Path  #: The calibrated MS.
    image: ImageResult  #: The image.

    @property
    def to_pt99(self) -> float:
        """Factor from the scale of Perley & Butler (2017) to that of Perley & Taylor (1999)."""
        return self.image_peak_pt99_jy / self.image_peak_jy


def run_ngc5921(
    workshop: Workshop,
    directory: Path,
    progress: Progress = no_progress,
    *,
    by_pyuvdata: bool = False,
) -> RealDataResult:
    """Process NGC5921 from its UVFITS file to an image of 1445+099.

    Parameters
    ----------
    workshop : Workshop
        Registry and interface to CASA.
    directory : Path
        Directory of MS, tables and image; not the MS directory of the platform.
    progress : callable, optional
        Called with progress messages.
    by_pyuvdata : bool
        Whether pyuvdata rewrites the imported MS.

    Raises
    ------
    CalibrationFailed
        If a table misses its limits.
    ContimgError
        If a step fails.
    """
    progress("importing NGC5921.fits", 0.0)
    ms = workshop.casa.run(import_ngc5921, directory / "NGC5921.ms", label="ngc5921-import")
    name, refant = SET_NAME, REFANT
    if by_pyuvdata:
        progress("rewriting the MS with pyuvdata", 0.1)
        ms = rewrite_by_pyuvdata(ms, directory / "NGC5921_pyuvdata.ms")
        name, refant = f"{SET_NAME}_pyuvdata", REFANT_STATION
    progress("solving on 3C286 and 1445+099", 0.2)
    request = ngc5921_request(ms, directory / "caltables" / name, refant=refant)
    solved = workshop.casa.run(solve_caltables, request, label="ngc5921-solve")
    if solved.failed:
        raise CalibrationFailed(f"NGC5921: {'; '.join(solved.reasons)}", reasons=solved.reasons)
    progress("registering the set and looking it up", 0.5)
    workshop.registry.register(_new_set(name, solved, ms))
    active = workshop.registry.active(solved.mid_mjd, layout=solved.layout)
    progress(f"applying {len(active.set.tables)} caltables", 0.6)
    calibrated = workshop.casa.run(
        write_calibrated_ms,
        ApplyRequest(
            ms=ms,
            tables=tuple(_on_its_field(t) for t in tables_to_apply(active)),
            output=directory / f"{name}_cal.ms",
            field_selection=PHASE_FIELD,
            shift=False,
            flag_rfi=False,
        ),
        label="ngc5921-apply",
    )
    progress("imaging 1445+099", 0.8)
    image = workshop.casa.run(
        make_image,
        ImageRequest(
            ms=calibrated.ms,
            directory=directory / f"image_{name}",
            stem="1445+099",
            spw_selection=CHANNELS,
            settings=ImagingSettings(image_size=256),
        ),
        label="ngc5921-image",
    )
    (flux,) = solved.flux
    return RealDataResult(
        ratio=flux.ratio,
        flux_jy=flux.flux_jy,
        flux_error_jy=flux.error_jy,
        image_peak_jy=image.statistics.peak_jy,
        image_peak_pt99_jy=image.statistics.peak_jy
        * _perley_taylor_99_jy(flux.frequency_hz)
        / (flux.flux_jy / flux.ratio),
        image_rms_jy=image.statistics.rms_jy,
        active=active,
        calibrated=calibrated.ms,
        image=image,
    )


def _on_its_field(table: TableToApply) -> TableToApply:
    """Take gains from the field nearest on the sky: those of 1445+099 for itself."""
    return table if table.type in _TABLES_OF_ONE_FIELD else replace(table, gain_field="nearest")


def _new_set(name: str, solved: SolveResult, ms: Path) -> NewCaltableSet:
    return NewCaltableSet(
        name=name,
        calibrator=CALIBRATOR,
        refant=solved.refant,
        mid_mjd=solved.mid_mjd,
        start_mjd=solved.start_mjd,
        end_mjd=solved.end_mjd,
        declination_deg=solved.declination_deg,
        layout=solved.layout,
        tables=tuple(NewCaltable(t.type, t.path) for t in solved.tables),
        quality=solved.quality,
        origin={
            "ms": str(ms),
            "parameters": solved.parameters,
            "software": solved.versions,
        },
    )


def _perley_taylor_99_jy(frequency_hz: float) -> float:
    x = log10(frequency_hz / 1e9)
    return float(10 ** sum(a * x**k for k, a in enumerate(_PERLEY_TAYLOR_99)))
