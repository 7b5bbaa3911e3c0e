"""The report of a candidate for observers who follow it up, as JSON and as a VOEvent.

Belongs here: what the report contains, and both formats. Doesn't: the finding chart (see
`contimg_resources.variability.cards`), sending it, files.

A VOEvent has the structure of the IVOA's recommendation 2.0 (Seaman et al. 2011). The first packet
about a candidate is permanent; each later one cites it.
"""

import math
import xml.etree.ElementTree as ElementTree
from typing import Literal

from pydantic import Field

from contimg_resources.core.plain_text import plain_line
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.export.model import Document
from contimg_resources.export.pages import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    encoded,
    finite,
    known,
    rounded,
)
from contimg_resources.instrument.dsa110 import (
    FREQUENCY_MAX_HZ,
    FREQUENCY_MIN_HZ,
    HEIGHT_M,
    LATITUDE_DEG,
    LONGITUDE_DEG,
)
from contimg_resources.products.events import CandidateRecord, CandidateState

_NAMESPACE = "http://www.ivoa.net/xml/VOEvent/v2.0"
_SCHEMA = "http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_COORDINATES = "UTC-ICRS-TOPO"
#: The catalogue positions of sources are accurate to this, degrees (5 arcsec).
_POSITION_ERROR_DEG = 5.0 / 3600.0
_SITE = "DSA-110, Owens Valley Radio Observatory"
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
        ivorn=_packet(ivorn, candidate, candidate.searched_day),
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


def as_json(report: FollowUp) -> bytes:
    """Return a report as JSON in UTF-8; its schema is published with those of the documents."""
    return encoded(report.model_dump()) + b"\n"


def as_voevent(report: FollowUp, candidate: CandidateRecord, *, ivorn: str) -> bytes:
    """Return a report as a VOEvent 2.0 in UTF-8.

    Without a position there is no ``WhereWhen``. `ivorn` is as for `follow_up`.
    """
    for prefix, uri in (("voe", _NAMESPACE), ("xsi", _INSTANCE)):
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.Element(
        f"{{{_NAMESPACE}}}VOEvent",
        {
            "version": "2.0",
            "ivorn": report.ivorn,
            "role": "observation",
            f"{{{_INSTANCE}}}schemaLocation": f"{_NAMESPACE} {_SCHEMA}",
        },
    )
    who = _add(root, "Who")
    _add(who, "AuthorIVORN", ivorn)
    _add(who, "Date", _utc(report.data_end_mjd).removesuffix("Z"))
    _add(_add(who, "Author"), "title", "DSA-110 continuum imaging (contimg)")
    _add_what(_add(root, "What"), report)
    if report.ra_deg is not None and report.dec_deg is not None:
        _add_place(_add(root, "WhereWhen"), report, report.ra_deg, report.dec_deg)
    _add(_add(root, "How"), "Description", _how(report))
    why = _add(root, "Why", expires=_utc(report.baseline_return_mjd).removesuffix("Z"))
    _add(why, "Name", "Extreme Scattering Event candidate")
    _add(why, "Description", "A dip in the light curve that a plasma lens explains.")
    if candidate.searched_day > candidate.first_day:
        cite = "retraction" if candidate.state is CandidateState.WITHDRAWN else "supersedes"
        first = _packet(ivorn, candidate, candidate.first_day)
        citations = _add(root, "Citations")
        _add(citations, "EventIVORN", first, cite=cite)
        if report.withdrawn:
            _add(citations, "Description", report.withdrawn)
    _add(root, "Description", f"Candidate {report.id}: {report.state}.")
    if report.url is not None:
        _add(root, "Reference", uri=report.url, type="url")
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _packet(ivorn: str, candidate: CandidateRecord, day_mjd: int) -> str:
    return f"{ivorn}#{candidate.id}/{day_mjd}"


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
    return f"Forced photometry of mosaics of {_SITE}; matched templates in the source's noise."


def _add_what(what: ElementTree.Element, report: FollowUp) -> None:
    for name, ucd in (("source_id", "meta.id"), ("state", "meta.code.status"), ("phase", "")):
        _param(what, name, getattr(report, name), {"ucd": ucd} if ucd else {})
    if report.mark:
        _param(what, "mark", report.mark, {"ucd": "meta.code"})
    _param(what, "is_end_predicted", str(report.is_end_predicted).lower(), {"ucd": "meta.code"})
    _param(what, "finding_chart", report.finding_chart, {"ucd": "meta.ref"})
    for name, (unit, ucd, meaning) in _IN_DATA.items():
        value = getattr(report, name)
        if value is not None:
            about = {"unit": unit, "ucd": ucd, "dataType": "float"}
            param = _param(what, name, repr(value), {k: v for k, v in about.items() if v})
            _add(param, "Description", meaning)


def _add_place(where: ElementTree.Element, report: FollowUp, ra_deg: float, dec_deg: float) -> None:
    location = _add(where, "ObsDataLocation")
    site = _add(location, "ObservatoryLocation", id=_SITE)
    _add(site, "AstroCoordSystem", id="UTC-GEOD-TOPO")
    coordinates = _add(site, "AstroCoords", coord_system_id="UTC-GEOD-TOPO")
    place = _add(coordinates, "Position3D", unit="deg-deg-m")
    for number, name in enumerate(("longitude", "latitude", "elevation"), 1):
        _add(place, f"Name{number}", name)
    values = _add(place, "Value3")
    for number, value in enumerate((LONGITUDE_DEG, LATITUDE_DEG, HEIGHT_M), 1):
        _add(values, f"C{number}", repr(value))
    observed = _add(location, "ObservationLocation")
    _add(observed, "AstroCoordSystem", id=_COORDINATES)
    coordinates = _add(observed, "AstroCoords", coord_system_id=_COORDINATES)
    time = _add(coordinates, "Time", unit="s")
    _add(_add(time, "TimeInstant"), "ISOTime", report.mid_utc.removesuffix("Z"))
    if report.mid_error_days is not None:
        _add(time, "Error", repr(round(86_400.0 * report.mid_error_days, 1)))
    place = _add(coordinates, "Position2D", unit="deg")
    _add(place, "Name1", "RA")
    _add(place, "Name2", "Dec")
    values = _add(place, "Value2")
    _add(values, "C1", repr(ra_deg))
    _add(values, "C2", repr(dec_deg))
    _add(place, "Error2Radius", f"{_POSITION_ERROR_DEG:.6f}")


def _param(
    parent: ElementTree.Element, name: str, value: str, about: dict[str, str]
) -> ElementTree.Element:
    return _add(parent, "Param", name=name, value=value, **about)


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", /, **about: str
) -> ElementTree.Element:
    """Add an element; control characters, which XML can't contain, become visible ones."""
    added = ElementTree.SubElement(parent, tag, {k: plain_line(v) for k, v in about.items()})
    added.text = plain_line(text) or None
    return added
