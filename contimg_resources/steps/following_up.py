"""The report of a candidate for observers who follow it up, with the latest data.

Belongs here: collecting its input from the stores. Doesn't: its contents and formats (see
`contimg_resources.export.follow_up` and `appearances`), drawing, sending, the files of a state
directory.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any

from contimg_resources.alerts.candidates import card_url
from contimg_resources.alerts.delivery import Attachment
from contimg_resources.core.errors import CutoutFailed, VariabilityFailed, rejecting
from contimg_resources.products.events import CandidateKind, CandidateRecord
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.export.appearances import NewSourceReport
    from contimg_resources.variability.model import Variability

#: The latest cutouts that are tried: one may be damaged.
_N_CUTOUTS = 3


def report_files(workshop: Workshop, candidate: CandidateRecord) -> tuple[Attachment, ...]:
    """Return the report as JSON, as VOEvent, and the finding chart (PNG).

    The chart shows the latest cutout; without one, only the known sources.
    """
    from contimg_resources.export.appearances import new_source_report, new_source_voevent
    from contimg_resources.export.follow_up import FollowUp, as_json, as_voevent, follow_up
    from contimg_resources.variability.cards import draw_finding_chart

    settings = workshop.settings.alerts
    marks = workshop.products.events.list_marks(candidate.id)
    ivorn, mark = settings.ivorn, marks[-1].mark.value if marks else ""
    url = card_url(candidate.id, settings.dashboard_url)
    if candidate.kind is CandidateKind.NEW_SOURCE:
        source = workshop.products.new_sources.find(candidate.source_id)
        if source is None:
            raise VariabilityFailed(f"there is no new source {candidate.source_id!r}")
        new = new_source_report(candidate, source, ivorn=ivorn, mark=mark, url=url)
        report: FollowUp | NewSourceReport = new
        packet = new_source_voevent(new, candidate, ivorn=ivorn)
    else:
        dip = follow_up(candidate, ivorn=ivorn, mark=mark, url=url)
        report, packet = dip, as_voevent(dip, candidate, ivorn=ivorn)
    chart = BytesIO()
    draw_finding_chart(
        chart, candidate, _positions(workshop, candidate), _image(workshop, candidate)
    )
    name = candidate.id
    return (
        Attachment(f"{name}.json", "application/json", as_json(report)),
        Attachment(f"{name}.xml", "application/xml", packet),
        Attachment(report.finding_chart, "image/png", chart.getvalue()),
    )


def _positions(workshop: Workshop, candidate: CandidateRecord) -> "Variability | None":
    from contimg_resources.variability.tables import (
        added_variability_path,
        latest_variability,
        read_variability,
    )

    root, name = workshop.settings.layout.variability, candidate.added_list
    path = latest_variability(root) if name is None else added_variability_path(root, name)
    if path is None or not path.is_file():
        return None
    unreadable: dict[str, str] = {}
    with rejecting(unreadable, path.name):
        return read_variability(path)
    return None


def _image(workshop: Workshop, candidate: CandidateRecord) -> tuple[Any, Any] | None:
    from contimg_resources.cutouts.places import cutouts_of
    from contimg_resources.cutouts.reading import read_cutout

    if candidate.added_list is not None:
        return None
    there = cutouts_of(workshop.settings.layout.cutouts, candidate.source_id)
    for one in there[: -_N_CUTOUTS - 1 : -1]:
        try:
            cutout = read_cutout(one.fits)
        except CutoutFailed:
            # An earlier one shows the same field.
            continue
        return cutout.pixels, cutout.wcs
    return None
