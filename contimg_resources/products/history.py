"""Describe the history of an observation in words.

Belongs here: the text. Doesn't: queries.
"""

from collections.abc import Sequence

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.observations.model import Observation, ObservationOrigin
from contimg_resources.products.model import (
    Artefact,
    ImageRecord,
    ObservationEvent,
    ObservationRecord,
)

_LABELS = {
    ObservationOrigin.MEASUREMENT_SET: "MS",
    ObservationOrigin.SUB_BANDS: "MS",
    ObservationOrigin.IMAGE: "from",
}
_SECOND = 19  # characters of an ISO time up to the second


def explain(
    record: ObservationRecord,
    events: Sequence[ObservationEvent],
    artefacts: Sequence[Artefact],
    image: ImageRecord | None,
    observation: Observation,
) -> str:
    """Describe an observation, its state and its history in a few lines."""
    calibrator = f", calibrator {record.calibrator}" if record.calibrator else ""
    reason = f": {record.reason}" if record.reason else ""
    lines = [
        f"Observation {record.key} ({_utc(record.start_mjd)} to {_utc(record.end_mjd)} UTC, "
        f"declination {record.declination_deg:.2f} deg{calibrator})",
        f"  {_LABELS[record.origin]:6s} {record.path}"
        + (f" (now observation {record.superseded_by})" if record.superseded_by else ""),
        f"  state  {record.state} since {_utc(record.updated_mjd)} UTC ({record.step}){reason}",
    ]
    if files := observation.sub_bands:
        lines.insert(1, f"  from   {len(files)} sub-band files in {files[0].path.parent}")
        lines += [f"  note   {note}" for note in observation.notes]
    for words in sorted({_set_in_words(a) for a in artefacts if a.set_name}):
        lines.append(f"  set    {words}")
    if image is not None:
        lines.append(f"  image  {_image_in_words(image)}")
    lines += [f"  file   {a.kind}{_version(a.version)}: {a.path}" for a in artefacts]
    lines.append("What happened:")
    lines += [f"  {_event_in_words(event)}" for event in events]
    return "\n".join(lines)


def _utc(mjd: float) -> str:
    return isot_from_mjd(mjd)[:_SECOND]


def _version(version: int) -> str:
    return "" if version == 1 else f" v{version}"


def _set_in_words(artefact: Artefact) -> str:
    borrowed = ", borrowed from outside its window" if artefact.borrowed else ""
    return f"{artefact.set_name} v{artefact.set_version}{borrowed}"


def _image_in_words(image: ImageRecord) -> str:
    words = []
    if image.rms_mjy is not None:
        words.append(f"rms {image.rms_mjy:.2f} mJy/beam")
        if image.expected_rms_mjy is not None:
            words[-1] += f" ({image.expected_rms_mjy:.2f} expected)"
    if image.bmaj_arcsec is not None and image.bmin_arcsec is not None:
        words.append(f'beam {image.bmaj_arcsec:.1f}" x {image.bmin_arcsec:.1f}"')
    if image.n_sources is not None:
        words.append(f"{image.n_sources} sources")
        if image.n_matched is not None:
            words[-1] += f", {image.n_matched} of them known"
    if image.flux_ratio is not None:
        words.append(f"flux ratio {image.flux_ratio:.3f}")
    if image.flag_fraction is not None:
        words.append(f"{100 * image.flag_fraction:.1f} % flagged")
    return ", ".join(words) or "nothing was measured"


def _event_in_words(event: ObservationEvent) -> str:
    message = f": {event.message}" if event.message else ""
    run = f" [run {event.run_id}]" if event.run_id else ""
    return f"{_utc(event.at_mjd)}  {event.state} ({event.step}){message}{run}"
