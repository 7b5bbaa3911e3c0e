"""The public real observation: NGC5921, VLA 1995, from the package ``casadata``.

Belongs here: importing it, and the request that reproduces the observatory's published values.
Doesn't: solving (see `contimg_resources.calibration.solve.solving`), as for any other
observation.

The observatory's regression test derives 1445+099 / 3C286 = 0.16825768 +- 0.00055574 from gains
that were averaged over the whole band, without a bandpass. So the request solves for gains first,
and then for the bandpass.
"""

from pathlib import Path
from typing import Any

from contimg_resources.calibration.solve.model import Pointing, SolveRecipe, SolveRequest
from contimg_resources.casa.siteconfig import casadata_dir
from contimg_resources.core.errors import CasaUnavailable
from contimg_resources.core.trees import remove_tree
from contimg_resources.observations.calibrators import CalibratorList

#: Flux ratio 1445+099 / 3C286 and its error as the observatory publishes it.
PUBLISHED_RATIO = 0.16825768
PUBLISHED_RATIO_ERROR = 0.00055574
#: 1445+099 on the scale of Perley & Taylor 1999, Jy.
PUBLISHED_FLUX_PT99_JY = 2.48362
PUBLISHED_FLUX_PT99_ERROR_JY = 0.00216

CALIBRATOR = "3C286"
#: The other calibrator, and its position in the VLA's list, ICRS degrees.
PHASE_CALIBRATOR = "1445+099"
PHASE_CALIBRATOR_DEG = (221.3186051, 9.9766868)
FLUX_FIELD = "1331+30500002_0"
PHASE_FIELD = "1445+09900002_0"
#: The antenna's name in the MS that CASA imports, and the station where it stands, which is the
#: antenna's name in an MS of pyuvdata.
REFANT = "15"
REFANT_STATION = "VLA:N2"


def import_ngc5921(ms: Path) -> Path:
    """Write the observation as an MS; call through `contimg_resources.casa.Casa.run`.

    Parameters
    ----------
    ms : Path
        The MS to make; replaced when it exists.

    Returns
    -------
    Path
        The MS.

    Raises
    ------
    CasaUnavailable
        If ``casadata`` does not hold the observation.
    """
    from casatasks import importuvfits

    task: Any = importuvfits
    source = casadata_dir() / "demo" / "NGC5921.fits"
    if not source.is_file():
        raise CasaUnavailable(f"casadata holds no {source.name}: {source} is missing")
    ms.parent.mkdir(parents=True, exist_ok=True)
    writing = ms.with_name(f".{ms.name}.writing")
    remove_tree(writing, ignore_errors=True)
    task(fitsfile=str(source), vis=str(writing))
    if not (writing / "table.dat").is_file():
        raise CasaUnavailable(f"{source} could not be imported: CASA left no MS")
    remove_tree(ms, ignore_errors=True)
    writing.rename(ms)
    return ms


def ngc5921_request(
    ms: Path, prefix: Path, plots: Path | None = None, *, refant: str = REFANT
) -> SolveRequest:
    """Return the request that reproduces the published flux ratio.

    Parameters
    ----------
    ms : Path
        Result of `import_ngc5921`.
    prefix : Path
        Prefix of the tables.
    plots : Path, optional
        Directory for plots.
    refant : str
        Name of the reference antenna in `ms`.
    """
    return SolveRequest(
        ms=ms,
        calibrator=CalibratorList().find(CALIBRATOR),
        prefix=prefix,
        pointing=Pointing.TRACKING,
        refant=refant,
        calibrator_fields=(FLUX_FIELD,),
        transfer_fields=(PHASE_FIELD,),
        recipe=SolveRecipe(delays=False, short_gains=False, gains_first=True, flag_rfi=False),
        plots=plots,
    )
