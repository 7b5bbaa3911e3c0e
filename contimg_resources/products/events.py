"""Records of candidates, marks and alerts in the products store.

Belongs here: frozen records. Doesn't: SQL, searching, sending.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from contimg_resources.products.dips import DipEvidence, FittedDip

#: Prefix of the key of an alert about a candidate; the candidate's id follows.
CANDIDATE_KEY = "candidate:"
#: Delivery states of an alert on a channel.
BEGUN, DELIVERED = "begun", "delivered"


class CandidateKind(StrEnum):
    """The kind of a candidate."""

    ESE = "ese"
    """A dip in a light curve: a candidate for an Extreme Scattering Event."""
    NEW_SOURCE = "new source"
    """A source that the catalogue lacks and that earlier epochs exclude."""


class NewSourceState(StrEnum):
    """The state of a source that the reference catalogue lacks."""

    NEW = "new"
    """Earlier epochs exclude its flux density: it is an event, and a candidate."""
    UNCATALOGUED = "not in the catalogue"
    """Earlier epochs show it, don't exclude it, or there are none."""
    WITHDRAWN = "withdrawn"
    """The lists of found sources don't support it any more; it isn't measured."""


class CandidateState(StrEnum):
    """The state of an event."""

    IN_PROGRESS = "in progress"
    """Only its ingress, or a part of it, was seen; a new source is still there."""
    COMPLETE = "complete"
    """The source is back at its baseline; a new source is below three times its error."""
    RECURRING = "recurring"
    """Likewise, and the source had an earlier event."""
    WITHDRAWN = "withdrawn"
    """The latest search does not find it any more, and the candidate's evidence has the reason;
    kept for its marks and alerts."""


class Mark(StrEnum):
    """A person's classification of a candidate."""

    REAL = "real"
    ARTEFACT = "artefact"
    FOLLOW_UP = "follow up"


class Subject(StrEnum):
    """What people annotate."""

    SOURCE = "source"
    CANDIDATE = "candidate"


class AnnotationKind(StrEnum):
    """Kinds of annotations (see `contimg_resources.products.annotations`)."""

    TAG = "tag"
    COMMENT = "comment"
    FAVOURITE = "favourite"


@dataclass(frozen=True)
class CandidateRecord:
    """A candidate: a dip in a light curve, or a new source."""

    id: str  #: Its permanent name; safe as a file name.
    source_id: str  #: The source, as in the catalogue; that of a new source is also its id.
    #: `ra_deg`, `dec_deg`: ICRS, degrees; NaN: an added light curve without a position.
    ra_deg: float
    dec_deg: float
    state: CandidateState  #: State of the event.
    #: `start_mjd`, `mid_mjd`, `end_mjd`: Epoch of minimum of the dip, and half depth on both sides,
    #: MJD in days. Of a new source: the first detection, the brightest and the last transit.
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    #: Twice the ln of the ratio of likelihoods with and without the dip, in the source's own noise,
    #: with the number of trials. Of a new source: `Appearance.significance`.
    score: float
    parameters: FittedDip = field(default_factory=FittedDip)  #: The fitted dip.
    #: Its neighbours, sub-bands and origin.
    evidence: DipEvidence = field(default_factory=DipEvidence)
    searched_day: int = 0  #: Last UTC day, integer MJD, of the latest search that found it.
    first_day: int = 0  #: Last UTC day, integer MJD, of the first search that found it.
    run_id: str = ""  #: The latest run that found it; empty on the command line.
    created_mjd: float = 0.0  #: When it was first recorded, MJD in days; set by the store.
    #: Its kind. The evidence for a new source is in `contimg_resources.products.new_sources`.
    kind: CandidateKind = CandidateKind.ESE

    @property
    def width_days(self) -> float:
        """Full width at half depth, days."""
        return self.end_mjd - self.start_mjd

    @property
    def added_list(self) -> str | None:
        """The list of added light curves that holds the source; None: the platform measured it."""
        return self.evidence.added_list


@dataclass(frozen=True)
class MarkRecord:
    """A mark; the last mark of a candidate counts, the others are its history."""

    candidate_id: str  #: The candidate.
    mark: Mark  #: The classification.
    note: str  #: The person's note.
    by: str  #: Name of the person.
    created_mjd: float = 0.0  #: When it was made, MJD in days; set by the store.


@dataclass(frozen=True)
class AlertRecord:
    """An alert about one event."""

    key: str  #: Identifies the event: an event has one key, and is reported once.
    kind: str  #: `candidate`, `calibration`, `quality`, `antennas`, ...
    #: `subject`, `text`: Subject and text.
    subject: str
    text: str
    created_mjd: float = 0.0  #: When it was due, MJD in days; set by the store.
    sent_mjd: float | None = None  #: When it was delivered.
    n_tries: int = 0  #: Number of attempts.
    error: str = ""  #: Why the last attempt failed; else empty.
    #: `begun` or `delivered` for each channel that it went out on. A delivery that is only `begun`
    #: was interrupted: the alert was perhaps delivered, and it isn't repeated.
    channels: dict[str, str] = field(default_factory=dict)
    next_try_mjd: float | None = None  #: When it is sent next, MJD in days; None: never again.
    claimed_until_mjd: float | None = None  #: When the claim of a process ends, MJD in days.
