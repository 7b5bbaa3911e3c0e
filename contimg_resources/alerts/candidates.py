"""The alert about a new candidate for an Extreme Scattering Event.

Belongs here: whether a candidate gets an alert, and its text. Doesn't: finding candidates.
"""

import math
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from contimg_resources.alerts.delivery import one_line
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
#: In added light curves, an event that ended longer than this before its discovery gets no alert.
_NEWS_DAYS = 30.0


def candidate_alerts(
    candidates: Iterable[CandidateRecord],
    last_marks: Mapping[str, MarkRecord],
    dashboard_url: str | None = None,
) -> tuple[AlertRecord, ...]:
    """Return the alerts about candidates.

    The key of a candidate is permanent: its completion gives no new alert. `last_marks` holds the
    current marks by candidate id; `dashboard_url` is the base URL of links.
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
    """Return whether a candidate gets an alert: not withdrawn, and not marked as an artefact.

    In added light curves only recent events do: archives contain events of all years.
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
        f"State: {candidate.state.value}; minimum on {utc_day(candidate.mid_mjd)} "
        f"(MJD {candidate.mid_mjd:.1f})",
        f"Depth: {_measure(100 * found.depth, 100 * found.depth_error, '%')}; "
        f"width: {_measure(found.width_days, found.width_error_days, 'days')}",
        f"Half depth: {utc_day(candidate.start_mjd)} and {utc_day(candidate.end_mjd)}"
        + (
            " (predicted)"
            if candidate.state is CandidateState.IN_PROGRESS
            and candidate.end_mjd > candidate.searched_day + 1
            else ""
        ),
        f"Score: {candidate.score:.1f}; threshold: {_number(found.threshold)}",
    ]
    if found.threshold_warning:
        lines.append(f"Warning: {found.threshold_warning}")
    if url := card_url(candidate.id, dashboard_url):
        lines.append(url)
    return "\n".join(lines)


def card_url(candidate_id: str, dashboard_url: str | None) -> str | None:
    """Return the address of a card on the dashboard with the given base URL, if there is one."""
    if not dashboard_url:
        return None
    return f"{dashboard_url.rstrip('/')}/#/candidates/{quote(candidate_id, safe='+')}"


def _position(candidate: CandidateRecord) -> str:
    if not math.isfinite(candidate.ra_deg):
        return "position unknown"
    return f"RA {candidate.ra_deg:.5f} deg, Dec {candidate.dec_deg:+.5f} deg (ICRS)"


def _measure(value: float, error: float, unit: str) -> str:
    if not math.isfinite(value):
        return "unknown"
    spread = f" +- {error:.1f}" if math.isfinite(error) else ""
    return f"{value:.1f}{spread} {unit}"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "unknown"
