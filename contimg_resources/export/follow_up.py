"""The report of a candidate for observers who follow it up, as JSON and as a VOEvent.

Belongs here: what the report contains, and both formats. Doesn't: the envelope of a VOEvent (see
`voevent`), new sources (see `appearances`), the finding chart (see
`contimg_resources.variability.cards`), sending it, files.
"""

import math
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.export.pages import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    encoded,
    finite,
    known,
    rounded,
)
from contimg_resources.export.parts import Document
from contimg_resources.export.voevent import SITE, Packet, Param, Place, packet_ivorn, voevent
from contimg_resources.instrument.dsa110 import FREQUENCY_MAX_HZ, FREQUENCY_MIN_HZ
from contimg_resources.products.events import CandidateRecord, CandidateState

#: The catalogue positions of sources are accurate to this, degrees (5 arcsec).
_POSITION_ERROR_DEG = 5.0 / 3600.0
_IN_DATA = {
    "phase_widths": ("", "arith.ratio", "Time from minimum to the end of the data, in widths"),
    "depth": ("", "phot.flux.density;arith.ratio", "Depth as a fraction of the baseline"),
    "depth_error": ("", "stat.error;phot.flux.density;arith.ratio", "Its error"),
    "width_days": ("d", "time.duration", "Full width at half depth"),
    "width_error_days": ("d", "stat.error;time.duration", "Its error"),
    "start_mjd": ("d", "time.start", "Half depth at ingress, MJD, UTC"),
    "mid_mjd": ("d", "time.epoch", "Epoch of minimum, MJD, UTC"),
    "mid_error_days": ("d", "stat.error;time.epoch", "Its error"),
    "end_mjd": ("d", "time.end", "Half depth at egress, MJD, UTC"),
    "end_error_days": ("d", "stat.error;time.end", "Its error"),
    "baseline_return_mjd": ("d", "time.end", "Return to the baseline, MJD, UTC"),
    "baseline_mjy": ("mJy", "phot.flux.density;em.radio", "Baseline flux density"),
    "baseline_error_mjy": ("mJy", "stat.error;phot.flux.density;em.radio", "Its error"),
    "minimum_mjy": ("mJy", "phot.flux.density;em.radio;stat.min", "Flux density at minimum"),
    "frequency_ghz": ("GHz", "em.freq", "Centre of the band"),
    "score": ("", "stat.likelihood", "Evidence for the dip with the number of trials"),
    "threshold": ("", "stat.likelihood;stat.min", "Minimum score of the search"),
    "spectral_change": ("", "spect.index", "Spectral index at minimum less the baseline's"),
    "spectral_change_error": ("", "stat.error;spect.index", "Its error"),
}


class FollowUp(Document):
    """Report of a candidate for observers who follow it up; a file beside the candidate's card."""

    document: Literal["follow_up"] = "follow_up"
    id: str
    ivorn: str = Field(description="Identifier of the VOEvent with the same contents.")
    source_id: str
    added_list: str | None = Field(
        None, description="List of added light curves; null for the platform's own."
    )
    ra_deg: float | None = Field(description="ICRS; null for a light curve without a position.")
    dec_deg: float | None
    state: str
    withdrawn: str = Field("", description="Why the candidate was withdrawn; else empty.")
    mark: str = Field("", description="The current mark; empty if there is none.")
    data_end_mjd: float = Field(description="End of the last day that was searched.")
    phase: str = Field(description="At the end of the data: ingress, egress, over or withdrawn.")
    phase_widths: float | None = Field(
        description="Time from the epoch of minimum to the end of the data, in widths: -0.5 and "
        "0.5 are half depth."
    )
    depth: float | None = Field(description="Fraction of the baseline that is missing.")
    depth_error: float | None
    width_days: float | None = Field(description="Full width at half depth.")
    width_error_days: float | None
    start_mjd: float = Field(description="Half depth at ingress.")
    mid_mjd: float = Field(description="Epoch of minimum.")
    mid_utc: str
    mid_error_days: float | None
    end_mjd: float = Field(description="Half depth at egress.")
    end_utc: str
    end_error_days: float | None
    is_end_predicted: bool = Field(description="Whether the end is later than the data.")
    baseline_return_mjd: float = Field(
        description="When the source is back at its baseline: a width after the minimum."
    )
    baseline_mjy: float | None
    baseline_error_mjy: float | None
    minimum_mjy: float | None = Field(description="Flux density at the epoch of minimum.")
    frequency_ghz: float | None = Field(
        description="Centre of the band; null for an added light curve."
    )
    score: float | None
    threshold: float | None
    spectral_change: float | None = Field(
        description="Spectral index at the minimum less that of the baseline."
    )
    spectral_change_error: float | None
    template: str
    url: str | None = Field(None, description="The candidate's card on the dashboard.")
    finding_chart: str = Field(description="Name of the PNG file with the finding chart.")


def follow_up(
    candidate: CandidateRecord, *, ivorn: str, mark: str = "", url: str | None = None
) -> FollowUp:
    """Return the report of a candidate.

    The event's phase is that at the end of the last day that was searched. An event that is still
    in progress has a predicted end: its template is symmetric about the epoch of minimum.

    Parameters
    ----------
    candidate : CandidateRecord
        The candidate.
    ivorn : str
        Identifier of the platform's VOEvents, without the event.
    mark : str
        The current mark; empty without one.
    url : str, optional
        Address of the candidate's card on the dashboard.
    """
    dip, evidence = candidate.parameters, candidate.evidence
    data_end_mjd = candidate.searched_day + 1.0
    width = candidate.width_days
    in_progress = candidate.state is CandidateState.IN_PROGRESS
    return FollowUp(
        id=candidate.id,
        ivorn=packet_ivorn(ivorn, candidate.id, candidate.searched_day),
        source_id=candidate.source_id,
        added_list=candidate.added_list,
        ra_deg=known(candidate.ra_deg, DEG_DECIMALS),
        dec_deg=known(candidate.dec_deg, DEG_DECIMALS),
        state=candidate.state.value,
        withdrawn=evidence.withdrawn,
        mark=mark,
        data_end_mjd=data_end_mjd,
        phase=_phase(candidate, data_end_mjd),
        phase_widths=finite((data_end_mjd - candidate.mid_mjd) / width) if width > 0 else None,
        depth=finite(dip.depth),
        depth_error=finite(dip.depth_error),
        width_days=finite(dip.width_days),
        width_error_days=finite(dip.width_error_days),
        start_mjd=rounded(candidate.start_mjd, MJD_DECIMALS),
        mid_mjd=rounded(candidate.mid_mjd, MJD_DECIMALS),
        mid_utc=_utc(candidate.mid_mjd),
        mid_error_days=finite(dip.mid_error_days),
        end_mjd=rounded(candidate.end_mjd, MJD_DECIMALS),
        end_utc=_utc(candidate.end_mjd),
        end_error_days=finite(math.hypot(dip.mid_error_days, 0.5 * dip.width_error_days)),
        is_end_predicted=in_progress and candidate.end_mjd > data_end_mjd,
        baseline_return_mjd=rounded(candidate.mid_mjd + width, MJD_DECIMALS),
        baseline_mjy=finite(1e3 * dip.baseline_jy),
        baseline_error_mjy=finite(1e3 * dip.baseline_error_jy),
        minimum_mjy=finite(1e3 * dip.baseline_jy * (1.0 - dip.depth)),
        frequency_ghz=None
        if candidate.added_list
        else finite(0.5e-9 * (FREQUENCY_MIN_HZ + FREQUENCY_MAX_HZ)),
        score=finite(candidate.score),
        threshold=finite(dip.threshold),
        spectral_change=finite(evidence.spectral_change),
        spectral_change_error=finite(evidence.spectral_change_error),
        template=dip.template,
        url=url,
        finding_chart=f"{candidate.id}.png",
    )


def as_json(report: Document) -> bytes:
    """Return a report as JSON in UTF-8; its schema is published with those of the documents."""
    return encoded(report.model_dump()) + b"\n"


def as_voevent(report: FollowUp, candidate: CandidateRecord, *, ivorn: str) -> bytes:
    """Return a report as a VOEvent 2.0 in UTF-8.

    Without a position there is no ``WhereWhen``. `ivorn` is as for `follow_up`.
    """
    place = None
    if report.ra_deg is not None and report.dec_deg is not None:
        error = report.mid_error_days
        place = Place(
            report.ra_deg,
            report.dec_deg,
            _POSITION_ERROR_DEG,
            report.mid_utc,
            None if error is None else 86_400.0 * error,
        )
    return voevent(
        Packet(
            ivorn=report.ivorn,
            author=ivorn,
            date_mjd=report.data_end_mjd,
            params=tuple(_params(report)),
            place=place,
            how=_how(report),
            name="Extreme Scattering Event candidate",
            why="A dip in the light curve that a plasma lens explains.",
            description=f"Candidate {report.id}: {report.state}.",
            expires_mjd=report.baseline_return_mjd,
            url=report.url,
            first_ivorn=packet_ivorn(ivorn, candidate.id, candidate.first_day)
            if candidate.searched_day > candidate.first_day
            else None,
            is_retraction=candidate.state is CandidateState.WITHDRAWN,
            retraction=report.withdrawn,
        )
    )


def _phase(candidate: CandidateRecord, data_end_mjd: float) -> str:
    if candidate.state is CandidateState.WITHDRAWN:
        return "withdrawn"
    if candidate.state is not CandidateState.IN_PROGRESS:
        return "over"
    return "ingress" if data_end_mjd < candidate.mid_mjd else "egress"


def _utc(mjd: float) -> str:
    return f"{isot_from_mjd(mjd)}Z"


def _how(report: FollowUp) -> str:
    if report.added_list is not None:
        return f"Added light curve, list {report.added_list}."
    return f"Forced photometry of mosaics of {SITE}; matched templates in the source's noise."


def _params(report: FollowUp) -> Iterator[Param]:
    for name, ucd in (("source_id", "meta.id"), ("state", "meta.code.status"), ("phase", "")):
        yield Param(name, getattr(report, name), ucd)
    if report.mark:
        yield Param("mark", report.mark, "meta.code")
    yield Param("is_end_predicted", str(report.is_end_predicted).lower(), "meta.code")
    yield Param("finding_chart", report.finding_chart, "meta.ref")
    for name, (unit, ucd, meaning) in _IN_DATA.items():
        value = getattr(report, name)
        if value is not None:
            yield Param(name, repr(value), ucd, unit, "float", meaning)
