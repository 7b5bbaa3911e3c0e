"""The result of a search for events.

Belongs here: candidates, rejected dips and sources that can't be searched, and their summary.
Doesn't: searching (see `candidates`), records in the store.
"""

from collections import Counter
from dataclasses import dataclass

from contimg_resources.products.events import CandidateRecord
from contimg_resources.variability.vetting import Outcome

#: Maximum number of reasons for unsearched sources in the summary, the most common first.
MOST_REASONS = 3


@dataclass(frozen=True)
class Rejected:
    """A rejected dip above the threshold."""

    source_id: str  #: The source.
    mid_mjd: float  #: Epoch of minimum, MJD in days.
    width_days: float  #: Width of the dip, days.
    score: float  #: Score of the dip.
    outcome: Outcome  #: Reason for the rejection.


@dataclass(frozen=True)
class Unsearched:
    """A source that can't be searched."""

    source_id: str  #: The source.
    reason: str  #: Reason that it can't be searched.


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    candidates: tuple[CandidateRecord, ...]  #: Candidates with new ids, the best score first.
    rejected: tuple[Rejected, ...]  #: Rejected dips, the best score first.
    threshold: float  #: Minimum score of a dip.
    source_years: float  #: Total time for which the searched sources were observed, years.
    n_sources: int  #: Number of searched sources.
    unsearched: tuple[Unsearched, ...] = ()  #: Sources that can't be searched, by id.

    def words(self) -> str:
        """Return a summary in one line."""
        why = Counter(r.outcome.value for r in self.rejected)
        not_searched = Counter(u.reason for u in self.unsearched)
        return (
            f"{len(self.candidates)} candidates in {self.n_sources} sources "
            f"({self.source_years:.0f} source-years), threshold {self.threshold:.1f}"
            + "".join(f"; {n} dips: {words}" for words, n in sorted(why.items()))
            + "".join(
                f"; {n} not searched: {reason}"
                for reason, n in not_searched.most_common(MOST_REASONS)
            )
        )
