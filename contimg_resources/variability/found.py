"""What a search for events returns.

Belongs here: candidates, rejected dips and sources that can't be searched, in words. Doesn't:
searching (see `candidates`), records in the store.
"""

from collections import Counter
from dataclasses import dataclass

from contimg_resources.products.events import CandidateRecord
from contimg_resources.variability.judging import Outcome

#: Reasons why sources weren't searched that are given in words, the most common first.
MOST_REASONS = 3


@dataclass(frozen=True)
class Rejected:
    """A dip above the threshold that is no event.

    Parameters
    ----------
    source_id : str
        The source.
    mid_mjd, width_days, score : float
        The dip.
    outcome : Outcome
        Why not.
    """

    source_id: str
    mid_mjd: float
    width_days: float
    score: float
    outcome: Outcome


@dataclass(frozen=True)
class Unsearched:
    """A source that can't be searched.

    Parameters
    ----------
    source_id : str
        The source.
    reason : str
        Why not.
    """

    source_id: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What a search found.

    Parameters
    ----------
    candidates : tuple of CandidateRecord
        The best score first; their ids are new.
    rejected : tuple of Rejected
        The best score first.
    threshold : float
        Score from which on dips count.
    source_years : float
        How long the sources that were searched were watched together.
    n_sources : int
        Sources that were searched.
    unsearched : tuple of Unsearched
        Sources that couldn't be, by id.
    """

    candidates: tuple[CandidateRecord, ...]
    rejected: tuple[Rejected, ...]
    threshold: float
    source_years: float
    n_sources: int
    unsearched: tuple[Unsearched, ...] = ()

    def words(self) -> str:
        """Say it in a line."""
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
