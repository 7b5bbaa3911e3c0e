"""What the simulator's tests let CASA do; imported by the CASA process."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Component:
    ra_deg: float
    dec_deg: float
    flux_jy: float


@dataclass(frozen=True)
class PredictRequest:
    ms: Path
    components: tuple[Component, ...]
    reference_hz: float


@dataclass(frozen=True)
class ImageRequest:
    ms: Path
    fits: Path
    ra_deg: float
    dec_deg: float


def dump(ms: Path) -> Path:
    """Copy the columns that tests look at into an npz beside the scratch space."""
    import casatools

    table = casatools.table()
    wanted = {
        "": (
            *("TIME", "ANTENNA1", "ANTENNA2", "DATA_DESC_ID", "FIELD_ID", "UVW"),
            *("DATA", "FLAG", "WEIGHT", "SIGMA", "INTERVAL", "SCAN_NUMBER"),
        ),
        "FIELD": ("NAME", "PHASE_DIR"),
        "ANTENNA": ("NAME", "POSITION", "DISH_DIAMETER"),
        "SPECTRAL_WINDOW": ("CHAN_FREQ", "CHAN_WIDTH", "NAME"),
        "OBSERVATION": ("TELESCOPE_NAME", "TIME_RANGE"),
        "POLARIZATION": ("CORR_TYPE",),
    }
    found = {}
    for name, columns in wanted.items():
        table.open(str(ms / name) if name else str(ms))
        if not name:
            found["columns"] = np.array(table.colnames())
            found["time_reference"] = np.array([table.getcolkeyword("TIME", "MEASINFO")["Ref"]])
        for column in columns:
            found[f"{name}.{column}".lstrip(".")] = np.asarray(table.getcol(column))
        table.close()
    out = Path.cwd().parent / f"{ms.name}.npz"
    np.savez(out, allow_pickle=False, **found)
    return out


def predict(request: PredictRequest) -> Path:
    """Let CASA's own simulator predict the components into a copy of the MS, then dump it."""
    import casatools

    copy = Path("predicted.ms")
    shutil.copytree(request.ms, copy)
    components = casatools.componentlist()
    for c in request.components:
        components.addcomponent(
            dir=f"J2000 {c.ra_deg:.12f}deg {c.dec_deg:.12f}deg",
            flux=[c.flux_jy, 0, 0, 0],
            fluxunit="Jy",
            shape="point",
            freq=f"{request.reference_hz}Hz",
        )
    components.rename("components.cl")
    components.done()
    beams = casatools.vpmanager()
    beams.reset()
    beams.setpbairy(
        telescope="OVRO_MMA",
        dishdiam="4.65m",
        blockagediam="0.4064m",
        maxrad="10deg",
        reffreq=f"{request.reference_hz}Hz",
    )
    beams.saveastable("beam.tab")
    simulator = casatools.simulator()
    simulator.openfromms(str(copy))
    simulator.setvp(dovp=True, vptable="beam.tab", usedefaultvp=False)
    simulator.predict(complist="components.cl", incremental=False)
    simulator.done()
    return dump(copy.absolute())


def sidereal_angle(mjd: float) -> tuple[float, float]:
    """Return CASA's apparent sidereal time at the array, and UT1 - UTC; degrees, seconds."""
    import casatools

    measures, quanta = casatools.measures(), casatools.quanta()
    measures.doframe(measures.position("WGS84", "-118.2830000deg", "37.2334051deg", "1188.05m"))
    utc = measures.epoch("UTC", f"{mjd!r}d")
    measures.doframe(utc)
    last = measures.measure(utc, "LAST")["m0"]
    ut1 = measures.measure(utc, "UT1")["m0"]
    turns = quanta.convert(last, "d")["value"] % 1.0
    return 360.0 * turns, (quanta.convert(ut1, "d")["value"] - mjd) * 86_400.0


def image(request: ImageRequest) -> Path:
    """Image all fields about one phase centre, with w-projection."""
    import casatasks

    casatasks.tclean(
        vis=str(request.ms),
        imagename="image",
        imsize=[720, 720],
        cell="15arcsec",
        gridder="wproject",
        wprojplanes=-1,
        specmode="mfs",
        deconvolver="hogbom",
        weighting="briggs",
        robust=0.5,
        niter=3000,
        threshold="3mJy",
        phasecenter=f"J2000 {request.ra_deg}deg {request.dec_deg}deg",
        pblimit=-1,
    )
    casatasks.exportfits("image.image", str(request.fits), dropdeg=True, overwrite=True)
    return request.fits
