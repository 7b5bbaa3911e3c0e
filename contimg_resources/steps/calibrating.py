"""Apply the valid caltable set to an observation."""

from dataclasses import dataclass, replace

from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_size_bytes
from contimg_resources.core.errors import CaltableAltered, NoValidCaltables
from contimg_resources.correlator.model import (
    CalibratedSubBands,
    Conversion,
    ConversionRequest,
    SubBandsToCalibrate,
)
from contimg_resources.observations.model import Observation
from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.registry.model import ActiveCaltables
from contimg_resources.steps.converting import inputs_of, is_direct, notes_of, refuse_changed
from contimg_resources.steps.disk_space import wait_for_disk_space
from contimg_resources.steps.in_casa import (
    calibrate,
    calibrate_directly,
    load_converter,
    load_engines,
)
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop

STEP = "calibrated_ms"


@dataclass(frozen=True)
class Calibrated:
    """A calibrated observation."""

    observation: Observation  #: The observation.
    active: ActiveCaltables  #: The applied set.
    result: ApplyResult  #: The calibrated MS and its flags.
    engine_s: float  #: Time in the CASA process, without its start-up, seconds.
    #: What was read, where the sub-bands were calibrated without their MS; None otherwise.
    conversion: Conversion | None = None


def tables_to_apply(active: ActiveCaltables) -> tuple[TableToApply, ...]:
    """Return the caltables of a look-up in apply order, as `write_calibrated_ms` takes them."""
    return tuple(
        TableToApply(path=table.path, type=table.type, order=table.apply_order)
        for table in active.set.tables
    )


def origin_of(active: ActiveCaltables, observation: Observation) -> dict[str, str]:
    """Return the provenance that every product of a calibrated observation carries."""
    return {
        "observation": observation.key,
        "ms": str(observation.path),
        "ms_signature": observation.signature,
        "caltable_set": active.set.name,
        "caltable_version": str(active.set.version),
        "caltable_age_h": f"{active.age_h:.3f}",
        "caltable_borrowed": str(active.borrowed),
        **{f"caltable_{t.type.value}": t.checksum for t in active.set.tables},
    }


def calibrate_observation(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> Calibrated:
    """Write the calibrated MS of an observation.

    An observation that arrived as sub-band files is calibrated straight from them where no MS is
    written (see `contimg_resources.steps.converting.is_direct`).

    Raises
    ------
    DiskShort
        If too little disk space is free to begin.
    NoValidCaltables
        If no set is valid; the observation waits for one.
    CaltableAltered
        If a table of the set is missing or changed; the observation waits for another set.
    UnreadableObservation
        If the MS or sub-band files are missing or changed, or the data can't be used.
    CasaError
        If applying failed.
    """
    wait_for_disk_space(workshop.settings, progress)
    observation = workshop.products.observation(key)
    direct = is_direct(workshop, observation)
    workshop.casa.open(load_converter if direct else load_engines)
    if not direct:
        observation = workshop.unchanged(key)
    observation.refuse_unusable()
    try:
        active = workshop.active_caltables(observation)
    except (NoValidCaltables, CaltableAltered) as none:
        workshop.products.set_state(
            key, ObservationState.WAITING, step=STEP, reason=none.message, run_id=run_id
        )
        raise
    request = ApplyRequest(
        ms=observation.path,
        tables=tables_to_apply(active),
        output=workshop.settings.layout.calibrated_ms(key),
        # Which antennas work is known once the visibilities were read.
        working_antennas=() if direct else tuple(a.name for a in observation.working_antennas),
        provenance=origin_of(active, observation),
        settings=workshop.settings.calibration,
        imaging=workshop.settings.imaging,
    )
    label, conversion = f"{key}-calibrate", None
    if direct:
        files = tuple(f.path for f in observation.sub_bands)
        refuse_changed(observation)
        both = SubBandsToCalibrate(
            ConversionRequest(files, observation.path, workshop.settings.uvh5), request
        )
        read = workshop.casa.run_timed(calibrate_directly, both, label=label, progress=progress)
        result, engine_s, conversion = read.value.applied, read.seconds, read.value.conversion
        # Files that arrive or change meanwhile start the observation again.
        refuse_changed(observation)
        observation = _as_read(observation, read.value)
        workshop.products.sub_bands.describe(observation)
    else:
        timed = workshop.casa.run_timed(calibrate, request, label=label, progress=progress)
        result, engine_s = timed.value, timed.seconds
    workshop.products.put_artefacts(
        key,
        [
            Artefact(
                kind=ArtefactKind.CALIBRATED_MS,
                path=result.ms,
                size_bytes=content_size_bytes(result.ms),
                set_name=active.set.name,
                set_version=active.set.version,
                borrowed=active.borrowed,
                parameters={
                    "tables": [str(t.path) for t in request.tables],
                    "phase_center_deg": result.phase_center_deg,
                    "flagged_fraction": result.flagged_fraction,
                    "rfi_flagged_fraction": result.rfi_flagged_fraction,
                    **(inputs_of(observation, conversion) if conversion else {}),
                },
                software=software(),
                run_id=run_id,
            )
        ],
    )
    workshop.products.set_state(key, ObservationState.CALIBRATED, step=STEP, run_id=run_id)
    return Calibrated(observation, active, result, engine_s, conversion)


def _as_read(observation: Observation, read: CalibratedSubBands) -> Observation:
    """Return the observation with what only its visibilities show."""
    working = set(read.applied.working_antennas)
    return replace(
        observation,
        antennas=tuple(replace(a, working=a.name in working) for a in observation.antennas),
        flagged_fraction=read.applied.input_flagged_fraction,
        notes=notes_of(observation, read.conversion),
    )
