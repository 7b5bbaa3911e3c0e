"""The message that a process of the platform died or hung.

Belongs here: its words. Doesn't: noticing it, and starting the process again
(``contimg_resources.cli.children``).
"""

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.products.events import AlertRecord

KIND = "platform"

_SECOND = 19  # characters of an ISO time up to the second


def platform_alert(what: str, *, at_mjd: float) -> AlertRecord:
    """Return the message.

    Parameters
    ----------
    what : str
        What happened, one sentence.
    at_mjd : float
        When, MJD in days.
    """
    moment = isot_from_mjd(at_mjd)
    first, _, _ = what.partition(";")
    return AlertRecord(
        key=f"{KIND}:{moment}",
        kind=KIND,
        subject=first,
        text=f"{moment[:_SECOND]} UTC: {what}. Interrupted runs are started again by themselves; "
        "the logs are in the directory `logs` of the state directory.",
    )
