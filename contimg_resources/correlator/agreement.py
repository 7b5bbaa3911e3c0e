"""Which sub-bands of the same time belong to one observation.

Belongs here: comparing headers, with the majority against the others. Doesn't: reading files.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter

from contimg_resources.correlator.sub_band import SubBand

#: Places after the decimal point to which times, s, and widths, Hz, are compared.
_TIME_PLACES, _WIDTH_PLACES, _ANGLE_PLACES = 3, 0, 6


def agreeing(sub_bands: Sequence[SubBand]) -> tuple[tuple[SubBand, ...], dict[str, str]]:
    """Return the sub-bands that agree with the majority, and why the others don't.

    Parameters
    ----------
    sub_bands : sequence of SubBand
        Sub-bands of about the same time.

    Returns
    -------
    kept : tuple of SubBand
        At most one for each number, by number; of repeated ones the first by name.
    rejected : dict of str to str
        Reasons, by path.
    """
    rejected: dict[str, str] = {}
    if len({_common(s) for s in sub_bands}) == 1:
        kept = sorted(sub_bands, key=_number)
        if len({s.number for s in kept}) == len(kept):
            return tuple(kept), rejected
    kept = sorted(sub_bands, key=lambda s: (s.number, s.path.name))
    for what, value, unit in _COMPARED:
        values = [value(s) for s in kept]
        if len(set(values)) <= 1:
            continue
        usual, n = Counter(values).most_common(1)[0]
        for s, found in zip(kept, values, strict=True):
            if found != usual:
                rejected[str(s.path)] = (
                    f"{s.path} has {found}{unit} {what}; {n} others of its observation have "
                    f"{usual}{unit}"
                )
        kept = [s for s, found in zip(kept, values, strict=True) if found == usual]
    by_number: dict[int, SubBand] = {}
    for s in kept:
        first = by_number.setdefault(s.number, s)
        if first is not s:
            rejected[str(s.path)] = (
                f"{s.path} repeats sub-band {s.number} of its observation, which is also in "
                f"{first.path.name}"
            )
    return tuple(by_number.values()), rejected


#: All that is compared: mostly it is the same in all of them.
_common = attrgetter(
    *("first_mjd", "last_mjd", "integration_s", "n_integrations", "n_antennas", "n_baselines"),
    *("n_channels", "channel_width_hz", "polarisations", "declination_deg"),
)
_number = attrgetter("number")


def _times(s: SubBand) -> str:
    return (
        f"{s.n_integrations} integrations of {s.integration_s:.{_TIME_PLACES}f} s from MJD "
        f"{s.first_mjd:.8f} to {s.last_mjd:.8f}"
    )


_COMPARED: tuple[tuple[str, Callable[[SubBand], object], str], ...] = (
    ("in its time grid", _times, ""),
    ("with data", lambda s: s.n_antennas, " antennas"),
    ("with data", lambda s: s.n_baselines, " baselines"),
    ("in its sub-band", lambda s: s.n_channels, " channels"),
    ("as its channel width", lambda s: round(s.channel_width_hz, _WIDTH_PLACES), " Hz"),
    ("as its polarisations", lambda s: "/".join(sorted(s.polarisations)), ""),
    ("as its declination", lambda s: f"{s.declination_deg:.{_ANGLE_PLACES}f}", " deg"),
)
