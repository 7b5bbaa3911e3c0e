"""The alert about antennas that went bad.

Belongs here: which antennas are new, the text. Doesn't: the rules by which an antenna is bad (see
`contimg_resources.calibration.antenna_record`).

Antennas that are named after the same observation are one alert, whose key is that observation, so
that a failure of a group of antennas is reported once. Antennas that a person marked raise none.
"""

from contimg_resources.calibration.antenna_record import AntennaReport, Spell
from contimg_resources.products.events import AlertRecord

KIND = "antennas"
#: Age of the oldest observations after which an antenna is named that count, days.
LOOK_BACK_DAYS = 1.0


def antenna_alerts(
    report: AntennaReport, dashboard_url: str | None, *, now_mjd: float
) -> tuple[AlertRecord, ...]:
    """Return an alert for each observation of the last day after which antennas were named.

    Parameters
    ----------
    report : AntennaReport
        The present state, from more days than those that count.
    dashboard_url : str, optional
        Address of the dashboard.
    now_mjd : float
        The present time, MJD in days.
    """
    named: dict[str, list[Spell]] = {}
    for one in report.spells:
        is_new = now_mjd - LOOK_BACK_DAYS <= one.named_mjd <= now_mjd
        if is_new and one.antenna not in report.marks:
            named.setdefault(one.named_key, []).append(one)
    link = f"\n{dashboard_url}#/antennas" if dashboard_url else ""
    return tuple(
        AlertRecord(
            key=f"{KIND}:{key}",
            kind=KIND,
            subject=f"{_counted(spells)} bad: {', '.join(s.antenna for s in spells)}",
            text="".join(f"Antenna {s.antenna}: {s.in_words()}.\n" for s in spells)
            + "Their data are left out of images until they recover; `contimg antennas` lists "
            f"them.{link}",
        )
        for key, spells in named.items()
    )


def _counted(spells: list[Spell]) -> str:
    return f"{len(spells)} antenna{'s are' if len(spells) > 1 else ' is'}"
