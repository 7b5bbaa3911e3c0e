"""Make the MS of an observation that arrived as sub-band files."""

import math
from dataclasses import dataclass, replace
from typing import Any

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum, content_size_bytes
from contimg_resources.core.errors import (
    CaltableAltered,
    NoValidCaltables,
    ProductsError,
    UnreadableObservation,
)
from contimg_resources.correlator.model import (
    ComparisonRequest,
    Conversion,
    ConversionRequest,
    HeaderComparison,
    missing_in_words,
)
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.observations.model import Observation, ObservationOrigin
from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.steps.disk_space import wait_for_disk_space
from contimg_resources.steps.in_casa import compare, convert, load_converter
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop

STEP = "measurement_set"

#: Largest differences from the headers, whose UVW are in single precision: seconds, Hz, metres.
_MOST_S, _MOST_HZ, _MOST_M = 1e-3, 1.0, 0.1


@dataclass(frozen=True)
class MeasurementSetMade:
    """The MS of an observation."""

    observation: Observation  #: The observation, as read from its MS.
    #: The MS that was made of sub-band files; None for one that arrived, and where none is written.
    made: Artefact | None
    conversion: Conversion | None  #: How it was made; None if it was there already.
    verdict: Verdict  #: Result of the comparison with the headers.
    #: Time of the conversion in the CASA process, without its start-up, seconds.
    engine_s: float = 0.0


def make_measurement_set(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> MeasurementSetMade:
    """Make the MS of an observation of its sub-band files, unless it is there.

    An MS that arrived is left as it is. None is written where `is_direct`, once a caltable set is
    valid.

    Raises
    ------
    DiskShort
        If too little disk space is free to begin.
    UnreadableObservation
        If files are missing or changed, too few are usable, the MS differs from the headers, or
        its data can't be used.
    ProductsError
        If other sub-band files arrived meanwhile.
    CasaError
        If the conversion failed.
    """
    observation = workshop.products.observation(key)
    if observation.origin is ObservationOrigin.IMAGE:
        raise UnreadableObservation(f"observation {key} is an image made elsewhere", key=key)
    if observation.origin is ObservationOrigin.MEASUREMENT_SET:
        arrived = Verdict(
            "matches_headers", True, f"it arrived as {observation.path}", evaluated=False
        )
        return MeasurementSetMade(observation, None, None, arrived)
    if (made := workshop.made_ms(observation)) is not None:
        there = Verdict("matches_headers", True, "it was made and compared before")
        return MeasurementSetMade(observation, made, None, there)
    refuse_changed(observation)
    if is_direct(workshop, observation) and _has_caltables(workshop, observation):
        words = "no MS is written: its sub-bands are calibrated directly (uvh5.keep_ms)"
        unwritten = Verdict("matches_headers", True, words, evaluated=False)
        return MeasurementSetMade(observation, None, None, unwritten)
    wait_for_disk_space(workshop.settings, progress)
    workshop.casa.open(load_converter)
    request = ConversionRequest(
        files=tuple(f.path for f in observation.sub_bands),
        ms=observation.path,
        settings=workshop.settings.uvh5,
        overwrite=True,
    )
    timed = workshop.casa.run_timed(convert, request, label=f"{key}-convert", progress=progress)
    conversion = timed.value
    used = tuple(f.path for f in observation.sub_bands if f.number in conversion.sub_bands)
    compared = workshop.casa.run(
        compare,
        ComparisonRequest(conversion.ms, used),
        label=f"{key}-compare",
        progress=progress,
    )
    verdict = check_headers(compared)
    progress("reading the MS", None)
    read = _as_arrived(workshop.read(conversion.ms), observation, conversion)
    # Files that arrive or change meanwhile start the observation again.
    refuse_changed(observation)
    workshop.products.sub_bands.describe(read)
    made = Artefact(
        kind=ArtefactKind.MEASUREMENT_SET,
        path=conversion.ms,
        checksum=content_checksum(conversion.ms),
        size_bytes=content_size_bytes(conversion.ms),
        parameters={
            **inputs_of(observation, conversion),
            "min_subbands": request.settings.min_subbands,
            "flagged_fraction": conversion.flagged_fraction,
        },
        software=software(),
        run_id=run_id,
    )
    if not verdict.passed:
        raise UnreadableObservation(
            f"the MS {conversion.ms} differs from the headers: {verdict.words}",
            key=key,
            check=verdict.name,
        )
    workshop.products.put_artefacts(key, [made])
    words = f"MS made of {len(used)} sub-band files"
    workshop.products.sub_bands.note(key, STEP, words, run_id=run_id)
    if read.unusable:
        workshop.products.set_state(
            key, ObservationState.FAILED, step=STEP, reason=read.unusable, run_id=run_id
        )
    read.refuse_unusable()
    return MeasurementSetMade(read, made, conversion, verdict, timed.seconds)


def check_headers(compared: HeaderComparison) -> Verdict:
    """Check rows, times, bands and UVW of an MS against the headers of its sub-band files."""
    wrong = [
        words
        for is_wrong, words in (
            (
                compared.n_rows != compared.n_rows_stated,
                f"{compared.n_rows} rows, the headers state {compared.n_rows_stated}",
            ),
            (
                compared.n_other_baselines > 0,
                f"{compared.n_other_baselines} baselines that only one of them has",
            ),
            (not compared.time_s <= _MOST_S, f"times differ by {compared.time_s:.3g} s"),
            (
                not compared.frequency_hz <= _MOST_HZ,
                f"channels differ by {compared.frequency_hz:.3g} Hz",
            ),
            (compared.length_m > _MOST_M, f"baselines differ by {compared.length_m:.3g} m"),
        )
        if is_wrong
    ]
    uvw = (
        "the headers hold no UVW"
        if math.isnan(compared.length_m)
        else f"baselines agree within {compared.length_m:.2g} m"
    )
    return Verdict(
        "matches_headers",
        not wrong,
        "; ".join(wrong) or f"{compared.n_rows} rows, times and bands are the headers'; {uvw}",
        measures={
            "n_rows": compared.n_rows,
            "time_difference_s": compared.time_s,
            "frequency_difference_hz": compared.frequency_hz,
            "baseline_difference_m": compared.length_m,
        },
    )


def is_direct(workshop: Workshop, observation: Observation) -> bool:
    """Return whether an observation is calibrated from its sub-band files, without its MS.

    It is unless `uvh5.keep_ms` is set, its MS is there, or a calibrator crossed the beam, whose MS
    is solved. It waits until a caltable set is valid.
    """
    return (
        observation.origin is ObservationOrigin.SUB_BANDS
        and not workshop.settings.uvh5.keep_ms
        and not observation.calibrators
        and workshop.made_ms(observation) is None
    )


def _has_caltables(workshop: Workshop, observation: Observation) -> bool:
    try:
        workshop.active_caltables(observation)
    except (NoValidCaltables, CaltableAltered):
        return False
    return True


def notes_of(observation: Observation, conversion: Conversion) -> tuple[str, ...]:
    """Return the notes on an observation of which the sub-bands were read."""
    missing = (missing_in_words(conversion.missing),) if conversion.missing else ()
    notes = (*missing, *conversion.rejected.values(), *conversion.notes, *observation.notes)
    return tuple(dict.fromkeys(notes))


def inputs_of(observation: Observation, conversion: Conversion) -> dict[str, Any]:
    """Return the parameters of a product that name the sub-band files it was made of."""
    return {
        "made_from": observation.signature,
        "inputs": {str(f.number): str(f.path) for f in observation.sub_bands},
        "missing": list(conversion.missing),
        "not_used": list(conversion.rejected.values()),
        "declination_deg": conversion.declination_deg,
    }


def refuse_changed(observation: Observation) -> None:
    """Refuse an observation whose sub-band files are missing or have changed.

    Raises
    ------
    UnreadableObservation
        If any has; the message names some.
    """
    changed = [str(f.path) for f in observation.sub_bands if not f.is_unchanged]
    if changed:
        some = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if changed[3:] else "")
        raise UnreadableObservation(
            f"sub-band files of observation {observation.key} are missing or have changed since "
            f"they arrived: {some}; the next scan finds those that are there",
            key=observation.key,
        )


def _as_arrived(read: Observation, arrived: Observation, conversion: Conversion) -> Observation:
    """Return the observation as read from its MS, with the identity that it arrived with."""
    if read.key != arrived.key and abs(read.mid_mjd - arrived.mid_mjd) * 86_400.0 > _MOST_S:
        raise ProductsError(
            f"the MS {read.path} has the mid-MJD {read.mid_mjd:.6f}, its headers "
            f"{arrived.mid_mjd:.6f}",
            key=arrived.key,
        )
    return replace(
        read,
        start_mjd=arrived.start_mjd,
        mid_mjd=arrived.mid_mjd,
        end_mjd=arrived.end_mjd,
        signature=arrived.signature,
        origin=ObservationOrigin.SUB_BANDS,
        sub_bands=arrived.sub_bands,
        notes=notes_of(read, conversion),
    )
