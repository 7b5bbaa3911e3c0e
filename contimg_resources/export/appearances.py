"""New sources in documents: the evidence for one, its report for observers, and its VOEvent.

Belongs here: their models and how they are filled. Doesn't: dips (see `follow_up`), the envelope of
a VOEvent (see `voevent`), files.
"""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.export.pages import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    MJY_DECIMALS,
    finite,
    known,
)
from contimg_resources.export.parts import Document, Part
from contimg_resources.export.voevent import Packet, Param, Place, packet_ivorn, voevent
from contimg_resources.instrument.dsa110 import FREQUENCY_MAX_HZ, FREQUENCY_MIN_HZ
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.products.new_sources import Appearance, NewSourceRecord

#: Astrometric error of a mosaic, degrees (1 arcsec), which the fit of a source doesn't include.
_ASTROMETRY_DEG = 1.0 / 3600.0
_JY, _MJD = "_jy", "_mjd"


class AppearanceItem(Part):
    """The evidence for a source that the catalogue lacks; flux densities are forced ones."""

    first_epoch: str = Field("", description="Mosaic in which it was found first.")
    first_mjd: float | None = None
    n_detections: int | None = Field(
        None, description="Number of transits in which it was found without a catalogue."
    )
    best_snr: float | None = Field(None, description="Highest S/N of these detections.")
    n_since: int | None = Field(
        None, description="Number of transits since the first detection, with that one."
    )
    flux_mjy: float | None = Field(
        None,
        description="Mean over the transits since then that exceed the earlier ones most "
        "significantly.",
    )
    flux_error_mjy: float | None = None
    peak_mjy: float | None = Field(None, description="The brightest transit.")
    peak_error_mjy: float | None = None
    peak_mjd: float | None = None
    latest_mjy: float | None = Field(None, description="The latest transit.")
    latest_error_mjy: float | None = None
    latest_mjd: float | None = None
    last_mjd: float | None = Field(
        None, description="The last transit above three times its error."
    )
    n_earlier: int | None = Field(
        None, description="Number of transits before the first detection."
    )
    earliest_mjd: float | None = Field(None, description="The first of these.")
    earlier_mjy: float | None = Field(None, description="Weighted mean over these.")
    earlier_error_mjy: float | None = None
    upper_limit_mjy: float | None = Field(
        None, description="Upper limit (3 sigma) of the earlier flux density."
    )
    significance: float | None = Field(
        None, description="Flux density less the earlier one, over the error of the difference."
    )
    reason: str = Field("", description="Why it is no event; empty for an event.")


class NewSourceReport(Document):
    """Report of a new source for observers; a file beside the candidate's card."""

    document: Literal["new_source"] = "new_source"
    id: str
    ivorn: str = Field(description="Identifier of the VOEvent with the same contents.")
    source_id: str
    ra_deg: float | None = Field(description="ICRS.")
    dec_deg: float | None
    position_error_arcsec: float | None = Field(description="Of the fit, in one coordinate.")
    state: str
    withdrawn: str = Field("", description="Why the candidate was withdrawn; else empty.")
    mark: str = Field("", description="The current mark; empty if there is none.")
    data_end_mjd: float = Field(description="End of the day of the latest mosaic.")
    frequency_ghz: float | None = Field(description="Centre of the band.")
    threshold: float | None = Field(description="Minimum significance of an event.")
    evidence: AppearanceItem
    url: str | None = Field(None, description="The candidate's card on the dashboard.")
    finding_chart: str = Field(description="Name of the PNG file with the finding chart.")


def appearance_item(evidence: Appearance) -> AppearanceItem:
    """Return the evidence for a new source as documents have it: mJy, and null for unknown."""
    told: dict[str, Any] = {}
    for name, value in asdict(evidence).items():
        if name.endswith(_JY):
            told[f"{name.removesuffix(_JY)}_mjy"] = known(1e3 * value, MJY_DECIMALS)
        elif name.endswith(_MJD):
            told[name] = known(value, MJD_DECIMALS)
        else:
            told[name] = finite(value) if isinstance(value, float) else value
    return AppearanceItem(**told)


def new_source_report(
    candidate: CandidateRecord,
    source: NewSourceRecord,
    *,
    ivorn: str,
    mark: str = "",
    url: str | None = None,
) -> NewSourceReport:
    """Return the report of a new source; the other arguments are those of `follow_up`."""
    return NewSourceReport(
        id=candidate.id,
        ivorn=packet_ivorn(ivorn, candidate.id, candidate.searched_day),
        source_id=candidate.source_id,
        ra_deg=known(candidate.ra_deg, DEG_DECIMALS),
        dec_deg=known(candidate.dec_deg, DEG_DECIMALS),
        position_error_arcsec=finite(max(source.east_error_arcsec, source.north_error_arcsec)),
        state=candidate.state.value,
        withdrawn=candidate.evidence.withdrawn,
        mark=mark,
        data_end_mjd=candidate.searched_day + 1.0,
        frequency_ghz=finite(0.5e-9 * (FREQUENCY_MIN_HZ + FREQUENCY_MAX_HZ)),
        threshold=finite(candidate.parameters.threshold),
        evidence=appearance_item(source.evidence),
        url=url,
        finding_chart=f"{candidate.id}.png",
    )


_FLUX = "phot.flux.density;em.radio"
#: Unit and UCD of the numbers in a VOEvent.
_IN_DATA = {
    "first_mjd": ("d", "time.start"),
    "last_mjd": ("d", "time.end"),
    "n_detections": ("", "meta.number"),
    "best_snr": ("", "stat.snr"),
    "flux_mjy": ("mJy", _FLUX),
    "flux_error_mjy": ("mJy", f"stat.error;{_FLUX}"),
    "peak_mjy": ("mJy", f"{_FLUX};stat.max"),
    "peak_error_mjy": ("mJy", f"stat.error;{_FLUX}"),
    "peak_mjd": ("d", "time.epoch"),
    "latest_mjy": ("mJy", _FLUX),
    "latest_error_mjy": ("mJy", f"stat.error;{_FLUX}"),
    "latest_mjd": ("d", "time.epoch"),
    "n_earlier": ("", "meta.number"),
    "earlier_mjy": ("mJy", _FLUX),
    "earlier_error_mjy": ("mJy", f"stat.error;{_FLUX}"),
    "upper_limit_mjy": ("mJy", f"{_FLUX};stat.max"),
    "significance": ("", "stat.snr"),
}


def new_source_voevent(report: NewSourceReport, candidate: CandidateRecord, *, ivorn: str) -> bytes:
    """Return the report of a new source as a VOEvent 2.0 in UTF-8."""
    evidence = report.evidence
    fields = AppearanceItem.model_fields
    params = [
        Param("source_id", report.source_id, ucd="meta.id"),
        Param("state", report.state, ucd="meta.code.status"),
        Param("finding_chart", report.finding_chart, ucd="meta.ref"),
        Param("first_epoch", evidence.first_epoch, ucd="meta.id"),
    ]
    if report.mark:
        params.append(Param("mark", report.mark, ucd="meta.code"))
    for name, (unit, ucd) in _IN_DATA.items():
        if (value := getattr(evidence, name)) is not None:
            meaning = fields[name].description or ""
            params.append(Param(name, repr(value), ucd, unit, "float", meaning))
    place = None
    if report.ra_deg is not None and report.dec_deg is not None:
        error = _ASTROMETRY_DEG + (report.position_error_arcsec or 0.0) / 3600.0
        place = Place(
            report.ra_deg, report.dec_deg, error, f"{isot_from_mjd(candidate.start_mjd)}Z"
        )
    return voevent(
        Packet(
            ivorn=report.ivorn,
            author=ivorn,
            date_mjd=report.data_end_mjd,
            params=tuple(params),
            place=place,
            how="Sources of a mosaic found without a catalogue; forced photometry of the mosaics "
            "of earlier transits.",
            name="New radio source",
            why="A source that the catalogue lacks, and that earlier epochs exclude.",
            description=f"New source {report.id}: {report.state}.",
            url=report.url,
            is_retraction=candidate.state is CandidateState.WITHDRAWN,
            retraction=report.withdrawn,
            first_ivorn=packet_ivorn(ivorn, candidate.id, candidate.first_day)
            if candidate.searched_day > candidate.first_day
            else None,
        )
    )
