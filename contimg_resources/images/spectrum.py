"""The frequency, bandwidth and Stokes parameter of an image.

Belongs here: spectral and Stokes axes, and the keywords that stand for them. Doesn't: sky axes (see
`frames`).
"""

import math
from typing import Any

from astropy.wcs import WCS, WCSSUB_SPECTRAL

_STOKES = {1: "I", 2: "Q", 3: "U", 4: "V", -1: "RR", -2: "LL", -3: "RL", -4: "LR"} | {
    -5: "XX",
    -6: "YY",
    -7: "XY",
    -8: "YX",
}
_REST_FREQUENCY = ("RESTFRQ", "RESTFREQ", "FREQ", "OBSFREQ", "REFFREQ")
_BANDWIDTH = ("BANDWID", "BANDWIDT", "BNDWIDTH")


def band_of(header: Any, axes: WCS) -> tuple[float, float]:
    """Return the effective frequency of an image and the width of its band, Hz.

    A frequency axis takes precedence over a rest frequency; the bandwidth is NaN where the header
    doesn't give it.

    Raises
    ------
    ValueError
        If there is no frequency.
    """
    spectral = axes.sub([WCSSUB_SPECTRAL])
    others = [
        str(kind).strip()
        for axis, kind in enumerate(axes.wcs.ctype)
        if axis not in (axes.wcs.lng, axes.wcs.lat)
    ]
    if spectral.naxis:
        kind = str(spectral.wcs.ctype[0])
        frequency_hz, width_hz = _of_spectral_axis(spectral, kind)
        where = f"its axis {kind}"
    else:
        if strange := [k for k in others if k.upper().startswith(("VEL", "CHAN", "FEL"))]:
            raise ValueError(
                f"its axis {strange[0]} gives no frequency: an axis FREQ, VRAD, VOPT or VELO was "
                "expected"
            )
        name = next((n for n in _REST_FREQUENCY if header.get(n) is not None), None)
        if name is None:
            raise ValueError(
                f"it has no frequency: an axis FREQ and {', '.join(_REST_FREQUENCY[:2])} were "
                "looked for"
            )
        value = header[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} = {value!r}: a frequency in Hz was expected")
        frequency_hz, width_hz, where = float(value), math.nan, name
    if not (math.isfinite(frequency_hz) and frequency_hz > 0):
        raise ValueError(f"{where} gives {frequency_hz:g} Hz, which is no frequency")
    for name in _BANDWIDTH:
        if isinstance(told := header.get(name), int | float) and told > 0:
            width_hz = float(told)
    return frequency_hz, width_hz


def _of_spectral_axis(spectral: WCS, kind: str) -> tuple[float, float]:
    try:
        if not kind.startswith("FREQ"):
            spectral.wcs.sptr("FREQ-???")
        # The centre of its pixel, and its edges.
        at = spectral.wcs_pix2world([[0.0], [-0.5], [0.5]], 0)[:, 0]
    except Exception as error:  # wcslib has its own exception classes
        missing = "its RESTFRQ is missing" if "rest" in str(error) else str(error)
        raise ValueError(
            f"its axis {kind} gives no frequency: {' '.join(missing.split())}"
        ) from error
    width = abs(float(at[2] - at[1]))
    # An implausible width is treated like an axis without one.
    return float(at[0]), width if 1.0 < width < 2 * abs(float(at[0])) else math.nan


def refuse_other_stokes(axes: WCS) -> None:
    """Raise for an image of another Stokes parameter than I; accept images that don't state it.

    Raises
    ------
    ValueError
        If it shows another Stokes parameter; the message names it.
    """
    for axis, kind in enumerate(axes.wcs.ctype):
        if str(kind).strip().upper() == "STOKES":
            wcs = axes.wcs
            step = wcs.cdelt[axis] * (wcs.get_pc()[axis][axis] if wcs.has_pc() else 1.0)
            value = wcs.crval[axis] + (1 - wcs.crpix[axis]) * step
            name = _STOKES.get(round(value), f"{value:g}")
            if name != "I":
                raise ValueError(f"it shows Stokes {name}: total intensity (I) was expected")
