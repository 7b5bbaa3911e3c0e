"""First act: files from other programs, an MS that pyuvdata writes and an image that CASA makes.

Belongs here: making them, and measuring 1445+099 in CASA's image.
Doesn't: solving, calibrating and imaging the MS (see `.real`), printing.

The DSA-110's own converter writes its MS with pyuvdata, which is a development dependency here.
"""

import importlib.util
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.errors import ImagingFailed, PhotometryFailed
from contimg_resources.core.trees import remove_tree
from contimg_resources.demo.ngc5921 import PHASE_CALIBRATOR
from contimg_resources.images.standard_form import ForeignFiles
from contimg_resources.imaging.model import ImageResult
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.steps.adding_images import add_image
from contimg_resources.steps.photometry import Unmeasured, measure_image
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class MeasuredImage:
    """An image made elsewhere as an epoch of forced photometry."""

    fits: Path  #: The image, as CASA exported it.
    key: str  #: Its observation key in the platform.
    #: `flux_jy`, `error_jy`: 1445+099 by forced photometry, Jy.
    flux_jy: float
    error_jy: float


def has_pyuvdata() -> bool:
    """Return whether pyuvdata and python-casacore are installed."""
    return all(importlib.util.find_spec(name) for name in ("pyuvdata", "casacore"))


def rewrite_by_pyuvdata(ms: Path, output: Path) -> Path:
    """Rewrite an MS with pyuvdata.

    In the new MS, antennas have the names of their stations, DATA has the unit ``uncalib`` unless
    the MS states another, and there is a WEIGHT_SPECTRUM.

    Parameters
    ----------
    ms : Path
        The MS to read.
    output : Path
        The MS to write; replaced when it exists, and never left half-written.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    ImportError
        If pyuvdata isn't installed.
    """
    from astropy.utils import iers
    from astropy.utils.data import conf
    from pyuvdata import UVData

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pyuvdata-", dir=output.parent) as scratch:
        written = Path(scratch) / output.name
        # pyuvdata looks up every telescope in astropy's list of sites, which is downloaded; the MS
        # holds the positions of its antennas.
        sites = Path(scratch) / "coordinates" / "sites.json"
        sites.parent.mkdir()
        sites.write_text(json.dumps({}))
        here = f"{sites.parents[1].as_uri()}/"
        with (
            conf.set_temp("dataurl", here),
            conf.set_temp("dataurl_mirror", here),
            iers.conf.set_temp("auto_download", False),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            data = UVData()
            data.read_ms(str(ms))
            data.write_ms(str(written))
        remove_tree(output, ignore_errors=True)
        written.rename(output)
    return output


@dataclass(frozen=True)
class CasaImageRequest:
    """A request for an image from CASA."""

    ms: Path  #: A calibrated MS.
    output: Path  #: The FITS file, replaced when it exists.
    channels: str  #: CASA's selection.
    size: int  #: Pixels a side.
    cell_arcsec: float  #: Pixel size, arcsec.


def image_with_casa(request: CasaImageRequest) -> Path:
    """Make an image with CASA's ``tclean`` and ``exportfits``; runs in a CASA process.

    Returns
    -------
    Path
        The FITS file, corrected for the primary beam.

    Raises
    ------
    ImagingFailed
        If CASA makes no image.
    """
    from casatasks import exportfits, tclean

    tasks: Any = (tclean, exportfits)
    clean, export = tasks
    clean(
        vis=str(request.ms),
        imagename="foreign",
        spw=request.channels,
        imsize=request.size,
        cell=f"{request.cell_arcsec}arcsec",
        weighting="briggs",
        robust=0.5,
        niter=1000,
        nsigma=4.0,
        pbcor=True,
    )
    request.output.parent.mkdir(parents=True, exist_ok=True)
    export(imagename="foreign.image.pbcor", fitsimage=str(request.output), overwrite=True)
    if not request.output.is_file():
        raise ImagingFailed(f"CASA made no image of {request.ms}", path=str(request.ms))
    return request.output


def measure_image_of_casa(
    workshop: Workshop, ms: Path, directory: Path, like: ImageResult, channels: str
) -> MeasuredImage:
    """Make an image with CASA, add it like any image made elsewhere, and measure 1445+099 in it.

    Parameters
    ----------
    workshop : Workshop
        Stores, catalogues and the interface to CASA; 1445+099 is in its reference catalogue.
    ms : Path
        The calibrated MS.
    directory : Path
        Directory of CASA's image.
    like : ImageResult
        Our image, whose pixel grid is used.
    channels : str
        CASA's selection.

    Raises
    ------
    ContimgError
        If the image can't be made, added or measured.
    """
    request = CasaImageRequest(
        ms, directory / "1445+099_casa.fits", channels, like.grid.size, like.grid.cell_arcsec
    )
    fits = workshop.casa.run(image_with_casa, request, label="ngc5921-casa-image")
    key = add_image(workshop, ForeignFiles(fits)).record.key
    measured = measure_image(workshop, key)
    if isinstance(measured, Unmeasured):
        raise PhotometryFailed(f"{fits}: {measured.reason}", key=key)
    columns, _ = read_measurements(measured.record.path)
    (row,) = np.flatnonzero(np.char.endswith(columns["source_id"].astype(str), PHASE_CALIBRATOR))
    return MeasuredImage(
        fits, key, float(columns["raw_flux_jy"][row]), float(columns["raw_error_jy"][row])
    )
