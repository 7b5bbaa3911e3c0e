"""Image a calibrated observation, check the image, and record the result."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from contimg_resources.calibration.antenna_record import ObservedAntennas
from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging.acceptance import (
    Verdict,
    check_astrometry,
    check_beam,
    check_fluxes,
    check_rms,
    confusion_jy,
)
from contimg_resources.imaging.matching import MatchReport, match_image
from contimg_resources.imaging.model import (
    ImageRequest,
    ImageResult,
    ReferenceSource,
    SubBandImage,
)
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import Calibrator, separation_deg
from contimg_resources.observations.model import Observation
from contimg_resources.products.model import Artefact, ArtefactKind, ImageRecord, ObservationState
from contimg_resources.settings import ImagingSettings
from contimg_resources.steps.antennas import check_antennas, known_antennas, record_antennas
from contimg_resources.steps.disk_space import wait_for_disk_space
from contimg_resources.steps.in_casa import image, load_engines
from contimg_resources.steps.origin import software
from contimg_resources.steps.primary_beam import (
    beam_shape,
    check_primary_beam,
    known_beam,
    record_beam,
)
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.catalogues.store import Catalogue

STEP = "image_5min"

#: Parameter of an artefact: name of its sub-band.
SUB_BAND = "sub_band"

_OF_SUB_BANDS = (ArtefactKind.SUB_BAND_IMAGE, ArtefactKind.SUB_BAND_PRIMARY_BEAM)


@dataclass(frozen=True)
class Imaged:
    """An image and its checks."""

    observation: Observation  #: The observation.
    #: The calibrated MS that was imaged, with the caltable set that it carries.
    calibrated: Artefact
    result: ImageResult  #: The image.
    #: Known sources matched with those of the image; empty without a reference catalogue.
    known: MatchReport
    verdicts: tuple[Verdict, ...]  #: One for each check, passed or failed.
    checksums: tuple[str, ...]  #: Checksums of the image, the PB-corrected image and the residual.
    engine_s: float  #: Imaging time in the CASA process, without its start-up, seconds.
    antennas: ObservedAntennas  #: What the observation shows about its antennas.
    #: `health`, `primary_beam`: Checks of the antennas and of the measured primary beam; a failure
    #: doesn't fail the image.
    health: Verdict
    primary_beam: Verdict

    @property
    def thumbnail(self) -> bytes:
        """PNG that is small enough to show inline."""
        return self.result.files.thumbnail.read_bytes()


def image_observation(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> Imaged:
    """Image the calibrated MS of an observation and check the image.

    Returns
    -------
    Imaged
        The recorded image; its observation is ``imaged``, or ``failed`` when a check failed.

    Raises
    ------
    DiskShort
        If too little disk space is free to begin.
    UnreadableObservation
        If the observation is itself an image made elsewhere.
    ImagingFailed
        If there is no calibrated MS, or it can't be imaged.
    CatalogueError
        If the catalogue named in the settings is missing or damaged.
    """
    wait_for_disk_space(workshop.settings, progress)
    observation = workshop.products.observation(key)
    observation.refuse_unusable()
    workshop.casa.open(load_engines)
    calibrated = _calibrated_ms(workshop, key)
    imaging = workshop.settings.imaging
    # A missing catalogue raises now, not after minutes of imaging.
    catalogue = workshop.reference_catalogue()
    index = workshop.settings.catalogue.default_spectral_index
    beam = known_beam(workshop.products, observation, workshop.settings.primary_beam)
    shape = beam_shape(beam, workshop.settings.primary_beam)
    provenance = {
        "observation": key,
        "ms": str(observation.path),
        "caltable_set": calibrated.set_name,
        "caltable_version": str(calibrated.set_version),
        "caltable_borrowed": str(calibrated.borrowed),
        **({} if shape.is_model else {"measured primary beam": str(asdict(shape))}),
        **software(),
    }
    request = ImageRequest(
        ms=calibrated.path,
        directory=workshop.settings.layout.image_dir(key),
        stem=key,
        settings=imaging,
        field_model=field_model(observation, catalogue, index, workshop.calibrators.calibrators)
        if catalogue is not None
        else (),
        beam_shape=shape,
        antennas=known_antennas(workshop.products, observation, workshop.settings.antennas),
        outside_model=outside_model(observation, catalogue, index)
        if imaging.outside and catalogue is not None
        else (),
        provenance=provenance,
    )
    timed = workshop.casa.run_timed(image, request, label=f"{key}-image", progress=progress)
    result = timed.value
    known = known_sources(result, catalogue, index)
    verdicts = check_image(result, known, imaging)
    artefacts = image_artefacts(result, _parameters(result, request), run_id, calibrated)
    statistics = result.statistics
    numbers = image_record(
        result,
        known,
        expected_rms_mjy=1e3 * statistics.expected_rms_jy,
        flag_fraction=calibrated.parameters.get("flagged_fraction"),
        extra={
            "n_rejected": statistics.n_rejected,
            "detection_snr": statistics.detection_snr,
            "sub_bands_mhz": [round(b.frequency_hz / 1e6, 3) for b in result.sub_bands],
            "no_sub_bands": result.no_sub_bands,
            **_in_field(result),
            **({} if result.outside is None else {"outside": asdict(result.outside)}),
        },
    )
    workshop.products.put_artefacts(key, artefacts, image=numbers, instead_of=_OF_SUB_BANDS)
    observed = record_antennas(workshop.products, observation, result, run_id)
    record_beam(workshop.products, observation, result, run_id)
    refused = [v.words for v in verdicts if not v.passed]
    workshop.products.set_state(
        key,
        ObservationState.FAILED if refused else ObservationState.IMAGED,
        step=STEP,
        reason="; ".join(refused) or None,
        run_id=run_id,
    )
    fits = (ArtefactKind.IMAGE, ArtefactKind.IMAGE_PBCOR, ArtefactKind.RESIDUAL)
    return Imaged(
        observation=observation,
        calibrated=calibrated,
        result=result,
        known=known,
        verdicts=verdicts,
        checksums=tuple(a.checksum for a in artefacts if a.kind in fits),
        engine_s=timed.seconds,
        antennas=observed,
        health=check_antennas(observed, request.antennas),
        primary_beam=check_primary_beam(beam, shape),
    )


def _in_field(result: ImageResult) -> dict[str, Any]:
    """Return the outcome of in-field calibration; its evidence has a record of its own."""
    if result.in_field is None:
        return {}
    told = asdict(result.in_field)
    del told["antennas"]
    return {"in_field": told}


def known_sources(
    result: ImageResult, catalogue: "Catalogue | None", default_spectral_index: float
) -> MatchReport:
    """Match an image with the sources of a catalogue; empty without a catalogue."""
    if catalogue is None:
        return MatchReport((), (), 0, math.nan, math.nan)
    grid = result.grid
    # Out to the corners.
    radius_deg = grid.size * grid.cell_arcsec / 3600 / math.sqrt(2)
    near = catalogue.cone(grid.ra_deg, grid.dec_deg, min(radius_deg, 90.0))
    return match_image(result, near.reference_sources(default_spectral_index))


#: Sources of the model of a field, in apparent flux density: no fainter one is worth its time.
_FAINTEST_MODEL_JY = 2e-3
_BAND_MIDDLE_HZ = 1.4e9
#: Distance from the phase centres up to which sources matter, degrees: beyond the beam's null.
_MODEL_REACH_DEG = 4.0
#: Sources that the sidelobes of the dishes see: their distance, and their least flux density.
_OUTSIDE_DEG, _OUTSIDE_JY = 12.0, 1.0


#: Surveys that list sizes without those of their beam.
_WITHOUT_BEAM = ("nvss", "first")
#: A catalogue's source this close to a calibrator is the calibrator.
_SAME_SOURCE_DEG = 0.02


def field_model(
    observation: Observation,
    catalogue: "Catalogue",
    default_spectral_index: float,
    calibrators: Sequence[Calibrator],
) -> tuple[ReferenceSource, ...]:
    """Return the catalogue's sources for in-field calibration, those that vary included.

    These are the sources that reach 2 mJy through the beam of a DSA-110 dish at some time in the
    observation. Calibrators are points at the positions of their own list: the phases of a field
    follow the positions of its brightest sources, and those of a survey are off by half an
    arcsecond. Others have the sizes that a survey lists without those of its beam.
    """
    if not observation.fields:
        return ()
    ra, dec = np.array([(f.ra_deg, f.dec_deg) for f in observation.fields]).T
    middle = len(ra) // 2
    reach_deg = _MODEL_REACH_DEG + separation_deg(ra, dec, ra[middle], dec[middle]).max()
    near = catalogue.cone(ra[middle], dec[middle], min(float(reach_deg), 90.0))
    away = separation_deg(near.ra_deg[:, None], near.dec_deg[:, None], ra, dec).min(axis=1)
    apparent_jy = near.flux_at(_BAND_MIDDLE_HZ, default_spectral_index)
    apparent_jy = apparent_jy * airy_power(np.radians(away), _BAND_MIDDLE_HZ)
    some = near.select((away < _MODEL_REACH_DEG) & (apparent_jy > _FAINTEST_MODEL_JY))
    places = np.stack([some.ra_deg, some.dec_deg])
    sizes = np.nan_to_num(np.stack([some.major_arcsec, some.minor_arcsec, some.angle_deg], axis=1))
    if catalogue.facts.survey not in _WITHOUT_BEAM:
        sizes[:] = 0.0
    for known in calibrators:
        apart_deg = separation_deg(some.ra_deg, some.dec_deg, known.ra_deg, known.dec_deg)
        if len(some) and apart_deg.min() < _SAME_SOURCE_DEG:
            its = int(np.argmin(np.where(apart_deg < _SAME_SOURCE_DEG, -some.flux_jy, 0.0)))
            places[:, its], sizes[its] = (known.ra_deg, known.dec_deg), 0.0
    some = replace(some, ra_deg=places[0], dec_deg=places[1], variable=np.zeros(len(some), bool))
    sources = some.reference_sources(default_spectral_index)
    return tuple(
        replace(s, major_arcsec=float(a), minor_arcsec=float(b), angle_deg=float(c))
        for s, (a, b, c) in zip(sources, sizes, strict=True)
    )


def outside_model(
    observation: Observation, catalogue: "Catalogue", default_spectral_index: float
) -> tuple[ReferenceSource, ...]:
    """Return the catalogue's sources above 1 Jy outside of the image, up to 12 deg away."""
    if not observation.fields:
        return ()
    ra, dec = np.array([(f.ra_deg, f.dec_deg) for f in observation.fields]).T
    middle = len(ra) // 2
    near = catalogue.cone(ra[middle], dec[middle], _OUTSIDE_DEG)
    some = near.select(near.flux_at(_BAND_MIDDLE_HZ, default_spectral_index) > _OUTSIDE_JY)
    return some.reference_sources(default_spectral_index)


def check_image(
    result: ImageResult, known: MatchReport, imaging: ImagingSettings
) -> tuple[Verdict, ...]:
    """Check an image: noise, beam, known fluxes, astrometry."""
    statistics = result.statistics
    beam = statistics.beam
    noise = check_rms(
        statistics.residual_rms_jy,
        statistics.expected_rms_jy,
        statistics.peak_jy,
        imaging,
        confusion_jy(result.frequency_hz, beam.major_arcsec, beam.minor_arcsec),
    )
    return (noise, *check_sky(result, known, imaging))


def check_sky(
    result: ImageResult, known: MatchReport, imaging: ImagingSettings
) -> tuple[Verdict, ...]:
    """Run the checks that need only the image: beam, known fluxes, astrometry."""
    beam = result.statistics.beam
    return (
        check_beam(beam.major_arcsec, beam.minor_arcsec, result.grid.cell_arcsec, imaging),
        check_fluxes(known.median_flux_ratio, known.n_matched, known.n_expected, imaging),
        check_astrometry(
            known.median_offset_arcsec,
            beam.minor_arcsec,
            known.n_matched,
            known.n_expected,
            imaging,
        ),
    )


def _calibrated_ms(workshop: Workshop, key: str) -> Artefact:
    for artefact in workshop.products.artefacts(key):
        if artefact.kind == ArtefactKind.CALIBRATED_MS and artefact.path.is_dir():
            return artefact
    raise ImagingFailed(
        f"observation {key} has no calibrated MS "
        f"(looked for {workshop.settings.layout.calibrated_ms(key)}); calibrate it first",
        key=key,
    )


def _parameters(result: ImageResult, request: ImageRequest) -> dict[str, Any]:
    return {
        "image_size": result.grid.size,
        "cell_arcsec": result.grid.cell_arcsec,
        "robust": request.settings.robust,
        "threshold_jy": result.threshold_jy,
        "n_iterations": result.n_iterations,
        "engine": result.engine,
        "beam_cut": request.settings.beam_cut,
        "uvrange": request.settings.uvrange,
        **({} if request.beam_shape.is_model else {"beam_shape": asdict(request.beam_shape)}),
    }


def image_artefacts(
    result: ImageResult,
    parameters: Mapping[str, Any],
    run_id: str,
    calibrated: Artefact | None = None,
) -> list[Artefact]:
    """Return the files of an image as artefacts for the products store.

    Parameters
    ----------
    result : ImageResult
        The image. An image made elsewhere has no PSF.
    parameters : mapping
        Imaging parameters.
    run_id : str
        Run that made it.
    calibrated : Artefact, optional
        The calibrated MS that was imaged; None: the image was made elsewhere.
    """
    files = result.files
    whole = [
        (ArtefactKind.IMAGE, files.image),
        (ArtefactKind.IMAGE_PBCOR, files.pbcor),
        (ArtefactKind.RESIDUAL, files.residual),
        *([(ArtefactKind.PSF, files.psf)] if calibrated else []),
        (ArtefactKind.PRIMARY_BEAM, files.primary_beam),
        (ArtefactKind.PNG, files.png),
        (ArtefactKind.STATISTICS, files.summary),
    ]
    made = [(kind, path, 1, dict(parameters)) for kind, path in whole]
    for number, band in enumerate(result.sub_bands, start=1):
        told = {**parameters, **_of_sub_band(band)}
        made += [
            (ArtefactKind.SUB_BAND_IMAGE, band.image, number, told),
            (ArtefactKind.SUB_BAND_PRIMARY_BEAM, band.primary_beam, number, told),
        ]
    return [
        Artefact(
            kind=kind,
            path=path,
            version=version,
            checksum=content_checksum(path),
            size_bytes=path.stat().st_size,
            set_name=calibrated.set_name if calibrated else "",
            set_version=calibrated.set_version if calibrated else None,
            borrowed=calibrated.borrowed if calibrated else False,
            parameters=told,
            software=software(),
            run_id=run_id,
        )
        for kind, path, version, told in made
    ]


def _of_sub_band(band: SubBandImage) -> dict[str, Any]:
    return {
        SUB_BAND: band.name,
        "frequency_hz": band.frequency_hz,
        "bmaj_arcsec": band.beam.major_arcsec,
        "bmin_arcsec": band.beam.minor_arcsec,
        "bpa_deg": band.beam.angle_deg,
        "rms_mjy": 1e3 * band.rms_jy,
        "expected_rms_mjy": 1e3 * band.expected_rms_jy,
        "image_size": band.grid.size,
        "n_iterations": band.n_iterations,
    }


def image_record(
    result: ImageResult,
    known: MatchReport,
    *,
    expected_rms_mjy: float | None = None,
    flag_fraction: float | None = None,
    extra: Mapping[str, Any],
) -> ImageRecord:
    """Return the statistics of an image as a record for the products store.

    Parameters
    ----------
    result : ImageResult
        The image.
    known : MatchReport
        Known sources matched with those of the image.
    expected_rms_mjy, flag_fraction : float, optional
        Expected noise and flagged fraction of its data; None: not known.
    extra : mapping
        Further statistics, by name.
    """
    statistics = result.statistics
    compared = known.n_matched > 0
    return ImageRecord(
        rms_mjy=1e3 * statistics.residual_rms_jy,
        expected_rms_mjy=expected_rms_mjy,
        peak_jy=statistics.peak_jy,
        dynamic_range=statistics.dynamic_range,
        bmaj_arcsec=statistics.beam.major_arcsec,
        bmin_arcsec=statistics.beam.minor_arcsec,
        bpa_deg=statistics.beam.angle_deg,
        n_sources=statistics.n_sources,
        n_matched=known.n_matched if compared else None,
        flux_ratio=known.median_flux_ratio if compared else None,
        offset_arcsec=known.median_offset_arcsec if compared else None,
        flag_fraction=flag_fraction,
        extra={
            "n_known_expected": known.n_expected,
            "image_rms_mjy": 1e3 * statistics.rms_jy,
            **extra,
        },
    )
