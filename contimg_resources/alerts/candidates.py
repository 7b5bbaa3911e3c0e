"""The message about a new candidate for an Extreme Scattering Event.

Belongs here: whether a candidate is told, and in which words. Doesn't: finding candidates.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from contimg_resources.alerts.words import one_line
from contimg_resources.core.times import utc_day
from contimg_resources.products.events import (
    CANDIDATE_KEY,
    AlertRecord,
    CandidateRecord,
    CandidateState,
    Mark,
    MarkRecord,
)

KIND = "candidate"
#: In added light curves an event that ended longer ago when it was found first is no news.
_NEWS_DAYS = 30.0


def candidate_alerts(
    candidates: Iterable[CandidateRecord],
    last_marks: Mapping[str, MarkRecord],
    dashboard_url: str | None = None,
) -> tuple[AlertRecord, ...]:
    """Return the message about each candidate that is worth telling.

    A candidate has one key for ever: that it is complete after a while is no news.

    Parameters
    ----------
    candidates : iterable of CandidateRecord
        The candidates.
    last_marks : mapping of str to MarkRecord
        The mark that holds of each that has one, by its id.
    dashboard_url : str, optional
        Where the messages link to.
    """
    return tuple(
        AlertRecord(
            key=f"{CANDIDATE_KEY}{candidate.id}",
            kind=KIND,
            subject=f"ESE candidate in {one_line(candidate.source_id)}",
            text=_text(candidate, dashboard_url),
        )
        for candidate in candidates
        if is_told(candidate, last_marks.get(candidate.id))
    )


def is_told(candidate: CandidateRecord, mark: MarkRecord | None) -> bool:
    """Tell whether a candidate is news: it stands, and nobody called it an artefact.

    In light curves that were added only what is recent is news: archives hold events of all years.
    """
    if candidate.added_list and candidate.end_mjd < candidate.first_day - _NEWS_DAYS:
        return False
    withdrawn = candidate.state is CandidateState.WITHDRAWN
    return not withdrawn and (mark is None or mark.mark is not Mark.ARTEFACT)


def _text(candidate: CandidateRecord, dashboard_url: str | None) -> str:
    found = candidate.parameters
    lines = [
        f"Candidate {one_line(candidate.id)} for an Extreme Scattering Event.",
        f"Source: {one_line(candidate.source_id)}, {_position(candidate)}",
        f"State: {candidate.state.value}; middle on {utc_day(candidate.mid_mjd)} "
        f"(MJD {candidate.mid_mjd:.1f})",
        f"Depth: {_measure(found, 'depth', 'depth_error', 100, '%')}; "
        f"width: {_measure(found, 'width_days', 'width_error_days', 1, 'days')}",
        f"Score: {candidate.score:.1f}; threshold: {_number(found.get('threshold'), 1)}",
    ]
    if dashboard_url:
        lines.append(f"{dashboard_url.rstrip('/')}/#/candidates/{quote(candidate.id, safe='+')}")
    return "\n".join(lines)


def _position(candidate: CandidateRecord) -> str:
    if not math.isfinite(candidate.ra_deg):
        return "position unknown"
    return f"RA {candidate.ra_deg:.5f} deg, Dec {candidate.dec_deg:+.5f} deg (ICRS)"


def _measure(found: Mapping[str, Any], name: str, error_name: str, scale: float, unit: str) -> str:
    value, error = found.get(name), found.get(error_name)
    if value is None:
        return "unknown"
    spread = "" if error is None else f" +- {_number(error, scale)}"
    return f"{_number(value, scale)}{spread} {unit}"


def _number(value: Any, scale: float) -> str:
    return f"{scale * value:.1f}" if isinstance(value, int | float) else "unknown"
