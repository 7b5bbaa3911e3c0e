"""The alert about a process of the platform that died or hung.

Belongs here: its text. Doesn't: noticing it, and restarting the process
(``contimg_resources.cli.children``).
"""

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.products.events import AlertRecord

KIND = "platform"

_SECOND = 19  # length of an ISO time up to the second


def platform_alert(what: str, *, at_mjd: float) -> AlertRecord:
    """Return the alert.

    Parameters
    ----------
    what : str
        Description of the event, one sentence.
    at_mjd : float
        Time of the event, MJD in days.
    """
    moment = isot_from_mjd(at_mjd)
    first, _, _ = what.partition(";")
    return AlertRecord(
        key=f"{KIND}:{moment}",
        kind=KIND,
        subject=first,
        text=f"{moment[:_SECOND]} UTC: {what}. Interrupted runs restart automatically; "
        "the logs are in the directory `logs` of the state directory.",
    )
