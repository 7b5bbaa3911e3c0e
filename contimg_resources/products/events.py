"""What the products store holds of events: candidates, people's marks on them, messages sent.

Belongs here: frozen records. Doesn't: SQL, searching, sending.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: What the key of a message about a candidate begins with; its id follows.
CANDIDATE_KEY = "candidate:"
#: How far a message is on a channel.
BEGUN, DELIVERED = "begun", "delivered"


class CandidateState(StrEnum):
    """How far an event has come."""

    IN_PROGRESS = "in progress"
    """Only its ingress, or a part of it, was seen."""
    COMPLETE = "complete"
    """The source is back at its baseline."""
    WITHDRAWN = "withdrawn"
    """The present search finds it no more; kept for its marks and for those who were told."""


class Mark(StrEnum):
    """What a person says of a candidate."""

    REAL = "real"
    ARTEFACT = "artefact"
    FOLLOW_UP = "follow up"


@dataclass(frozen=True)
class CandidateRecord:
    """A candidate for an Extreme Scattering Event.

    Parameters
    ----------
    id : str
        Its name for ever; safe as a file name.
    source_id : str
        The source, as in the catalogue.
    ra_deg, dec_deg : float
        ICRS, degrees; NaN: a light curve that was added without a position.
    state : CandidateState
        How far it has come.
    start_mjd, mid_mjd, end_mjd : float
        The dip: middle, and half depth on both sides, MJD in days.
    score : float
        chi2 without less chi2 with the dip, in units of the source's own scatter.
    parameters : dict
        JSON-able: `depth`, `depth_error`, `width_days`, `width_error_days`, `mid_error_days`,
        `baseline_jy`, `baseline_error_jy`, `template`, `threshold`, `reduced_chi2`,
        `n_in_dip`, `template_mjd` and `template_jy` (the fitted curve).
    evidence : dict
        JSON-able: `neighbours` (ids), `neighbour_depth`, `neighbour_depth_error`; where sub-band
        fluxes exist `n_bands`, `band_depths`, `spectral_change`, `spectral_change_error` and
        `spectral_note` (see `contimg_resources.variability.spectra`); of a light curve that was
        added `added_list` and `added_from`, the list and its files.
    searched_day : int
        UTC day, integer MJD, up to which the search that found it last looked.
    first_day : int
        The same of the search that found it first.
    run_id : str
        The run that found it last; empty on the command line.
    created_mjd : float
        When it was recorded first, MJD in days; set by the store.
    """

    id: str
    source_id: str
    ra_deg: float
    dec_deg: float
    state: CandidateState
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    score: float
    parameters: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    searched_day: int = 0
    first_day: int = 0
    run_id: str = ""
    created_mjd: float = 0.0

    @property
    def added_list(self) -> str | None:
        """The list of added light curves that the source is of; None: the platform measured it."""
        name = self.evidence.get("added_list")
        return None if name is None else str(name)


@dataclass(frozen=True)
class MarkRecord:
    """A mark; the last of a candidate holds, the others are its history.

    Parameters
    ----------
    candidate_id : str
        The candidate.
    mark : Mark
        What was said.
    note : str
        In the person's words.
    by : str
        Who.
    created_mjd : float
        When, MJD in days; set by the store.
    """

    candidate_id: str
    mark: Mark
    note: str
    by: str
    created_mjd: float = 0.0


@dataclass(frozen=True)
class AlertRecord:
    """A message, one for each thing that happened.

    Parameters
    ----------
    key : str
        What it is about: the same thing has the same key, and is told once.
    kind : str
        `candidate`, `calibration` or `quality`.
    subject, text : str
        The message.
    created_mjd : float
        When it was due, MJD in days; set by the store.
    sent_mjd : float or None
        When it was delivered.
    n_tries : int
        How often that was tried.
    error : str
        Why the last try failed; else empty.
    channels : dict of str to str
        `begun` or `delivered` for each channel that it went out on. One that is only `begun` was
        cut short: perhaps it was delivered, and it isn't repeated.
    next_try_mjd : float or None
        When it is tried next, MJD in days; None: never again.
    claimed_until_mjd : float or None
        Until then a process has it in hand, MJD in days.
    """

    key: str
    kind: str
    subject: str
    text: str
    created_mjd: float = 0.0
    sent_mjd: float | None = None
    n_tries: int = 0
    error: str = ""
    channels: dict[str, str] = field(default_factory=dict)
    next_try_mjd: float | None = None
    claimed_until_mjd: float | None = None
