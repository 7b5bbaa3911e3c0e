"""The alert about a new candidate: an Extreme Scattering Event, or a new source.

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
    CandidateKind,
    CandidateRecord,
    CandidateState,
    Mark,
    MarkRecord,
)
from contimg_resources.products.new_sources import Appearance, NewSourceRecord

KIND = "candidate"
#: In added light curves, an event that ended longer than this before its discovery gets no alert.
_NEWS_DAYS = 30.0


def candidate_alerts(
    candidates: Iterable[CandidateRecord],
    last_marks: Mapping[str, MarkRecord],
    dashboard_url: str | None = None,
    new_sources: Mapping[str, NewSourceRecord] | None = None,
) -> tuple[AlertRecord, ...]:
    """Return the alerts about candidates.

    The key of a candidate is permanent: its completion gives no new alert. `last_marks` holds the
    current marks by candidate id; `dashboard_url` is the base URL of links; `new_sources` holds the
    evidence for candidates of that kind, by name.
    """
    return tuple(
        AlertRecord(
            key=f"{CANDIDATE_KEY}{candidate.id}",
            kind=KIND,
            subject=_subject(candidate),
            text="\n".join(
                [
                    *(
                        _about_dip(candidate)
                        if candidate.kind is CandidateKind.ESE
                        else _about_new(candidate, (new_sources or {}).get(candidate.source_id))
                    ),
                    *([url] if (url := card_url(candidate.id, dashboard_url)) else []),
                ]
            ),
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


def _subject(candidate: CandidateRecord) -> str:
    if candidate.kind is CandidateKind.ESE:
        return f"ESE candidate in {one_line(candidate.source_id)}"
    return f"new source {one_line(candidate.source_id)}"


def _about_new(candidate: CandidateRecord, source: NewSourceRecord | None) -> list[str]:
    told = Appearance() if source is None else source.evidence
    return [
        f"New source {one_line(candidate.id)}: the catalogue lacks it, and earlier epochs exclude "
        "it.",
        f"Position: {_position(candidate)}",
        f"State: {candidate.state.value}; found first on {utc_day(candidate.start_mjd)} "
        f"(MJD {candidate.start_mjd:.1f})"
        + (f" in mosaic {one_line(told.first_epoch)}" if told.first_epoch else ""),
        f"Flux density: {_measure(1e3 * told.flux_jy, 1e3 * told.flux_error_jy, 'mJy')}; "
        f"brightest: {_measure(1e3 * told.peak_jy, 1e3 * told.peak_error_jy, 'mJy')}",
        f"Earlier: {_measure(1e3 * told.earlier_jy, 1e3 * told.earlier_error_jy, 'mJy')} in "
        f"{told.n_earlier or 0} transits; upper limit (3 sigma): "
        f"{_measure(1e3 * told.upper_limit_jy, math.nan, 'mJy')}",
        f"Detections without a catalogue: {told.n_detections or 0}, best S/N "
        f"{_number(told.best_snr)}; {candidate.score:.1f} sigma above the earlier epochs, "
        f"threshold {_number(candidate.parameters.threshold)}",
    ]


def _about_dip(candidate: CandidateRecord) -> list[str]:
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
    return lines


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
