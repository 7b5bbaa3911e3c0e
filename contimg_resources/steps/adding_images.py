"""Add images made elsewhere; they are then handled like any other observation."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import UnreadableImage, rejecting
from contimg_resources.core.keys import partition_key
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.imaging.acceptance import (
    Verdict,
)
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.observations.model import (
    Observation,
    ObservationOrigin,
    ObservedField,
    SpectralWindow,
)
from contimg_resources.products.model import (
    ArrivalOutcome,
    ImageRecord,
    ObservationRecord,
)
from contimg_resources.steps.disk_space import wait_for_disk_space
from contimg_resources.steps.imaging import (
    check_sky,
    image_artefacts,
    image_record,
    known_sources,
)
from contimg_resources.steps.origin import software
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.images.reading import SkyImage
    from contimg_resources.images.standard_form import ForeignFiles

_NO_MS = "it is an image that was made elsewhere: it has no MeasurementSet to calibrate or to image"


@dataclass(frozen=True)
class AddedImage:
    """An image that was added, or was already in the store."""

    path: Path  #: Image file.
    outcome: ArrivalOutcome  #: Whether it is new, known, a replacement, or a second copy.
    record: ObservationRecord  #: Its observation.
    image: ImageRecord | None  #: Image statistics.
    #: One for each check, passed or failed; empty when the image was already in the store.
    verdicts: tuple[Verdict, ...] = ()
    #: Assumptions made, and steps of the conversion to contimg's standard form.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AddedImages:
    """The outcome of adding images."""

    added: tuple[AddedImage, ...]  #: Images that are now observations.
    failed: dict[str, str]  #: Files that could not be added, with the reason.


def add_images(
    workshop: Workshop,
    images: "Sequence[ForeignFiles]",
    *,
    replace_known: bool = False,
    run_id: str = "",
    progress: Progress = no_progress,
) -> AddedImages:
    """Add images; an image that can't be added doesn't stop the others.

    The FITS files are corrected for the primary beam, and only read; `replace_known`: an image may
    replace another one with the same key.
    """
    added: list[AddedImage] = []
    failed: dict[str, str] = {}
    for number, files in enumerate(images):
        progress(f"adding {files.image}", number / len(images))
        with rejecting(failed, str(files.image)):
            added.append(add_image(workshop, files, replace_known=replace_known, run_id=run_id))
    return AddedImages(tuple(added), failed)


def add_image(
    workshop: Workshop,
    files: "ForeignFiles",
    *,
    replace_known: bool = False,
    run_id: str = "",
    progress: Progress = no_progress,
) -> AddedImage:
    """Convert an image to contimg's standard form, check it and record it as an observation.

    Adding the same image again changes nothing; new content in the same file replaces it. The files
    are only read; `replace_known`: it may replace another image with the same key.

    Raises
    ------
    UnreadableImage
        Naming the file and everything that is wrong with it.
    ProductsError
        If another observation has the same key.
    DiskShort
        If too little disk space is free to begin.
    CatalogueError
        If the catalogue named in the settings is missing or damaged.
    """
    from contimg_resources.images.reading import opened_image
    from contimg_resources.images.standard_form import write_standard_form

    files = replace(files, image=files.image.absolute())
    catalogue = workshop.reference_catalogue()
    with opened_image(files.image) as image:
        checksums = _checksums(files)
        observation = _observation(image, _signature(checksums))
        notes = image.notes
    key, elsewhere = observation.key, workshop.products.images_made_elsewhere
    outcome = elsewhere.check_arrival(
        key, observation.path, observation.signature, replace=replace_known
    )
    directory = workshop.settings.layout.image_dir(key)
    known = None if outcome is ArrivalOutcome.NEW else workshop.products.get(key)
    if known is not None and outcome in (ArrivalOutcome.SAME, ArrivalOutcome.DUPLICATE):
        made = workshop.products.artefacts(key)
        if outcome is ArrivalOutcome.DUPLICATE or (made and all(a.path.exists() for a in made)):
            return AddedImage(files.image, outcome, known, workshop.products.image(key))
    wait_for_disk_space(workshop.settings, progress)
    imaging = workshop.settings.imaging
    result = write_standard_form(
        files,
        directory,
        key,
        beam_cut=imaging.beam_cut,
        min_snr=ImageRequest.min_snr,
        provenance={
            "observation": key,
            **{name: f"{path} {checksum}" for name, (path, checksum) in checksums.items()},
            **software(),
        },
        progress=progress,
    )
    default_index = workshop.settings.catalogue.default_spectral_index
    matched = known_sources(result, catalogue, default_index)
    # The noise that its data would allow is not known here.
    verdicts = check_sky(result, matched, imaging)
    parameters = {
        "origin": "made elsewhere",
        **{name: str(path) for name, (path, _) in checksums.items()},
        **{f"{name} checksum": checksum for name, (_, checksum) in checksums.items()},
        "image_size": result.grid.size,
        "cell_arcsec": result.grid.cell_arcsec,
        "beam_cut": imaging.beam_cut,
    }
    # The centre of the pixel grid is known now.
    middle = replace(observation.fields[0], ra_deg=result.grid.ra_deg, dec_deg=result.grid.dec_deg)
    arrival = elsewhere.put(
        replace(observation, fields=(middle,), declination_deg=result.grid.dec_deg),
        image_artefacts(result, parameters, run_id),
        image_record(result, matched, extra={"frequency_hz": result.frequency_hz}),
        refused="; ".join(v.words for v in verdicts if not v.passed),
        replace=replace_known,
        run_id=run_id,
    )
    return AddedImage(
        files.image,
        outcome,
        arrival.record,
        workshop.products.image(key),
        verdicts,
        tuple(dict.fromkeys((*notes, *(v.words for v in verdicts if not v.evaluated)))),
    )


Checksums = dict[str, tuple[Path, str]]


def _checksums(files: "ForeignFiles") -> Checksums:
    named = {"image": files.image, "primary beam": files.primary_beam, "rms": files.rms}
    found = {}
    for name, path in named.items():
        if path is None:
            continue
        try:
            found[name] = (path.absolute(), content_checksum(path))
        except OSError as error:
            raise UnreadableImage(
                f"{path} can't be read: {error.strerror}", path=str(path)
            ) from error
    return found


def _signature(checksums: Checksums) -> str:
    """Return a signature that identifies an image with its companions."""
    content = "\n".join(f"{name} {checksum}" for name, (_, checksum) in checksums.items())
    return f"image:{hashlib.sha256(content.encode()).hexdigest()}"


def _observation(image: "SkyImage", signature: str) -> Observation:
    observed = image.observed
    rows, columns = image.shape
    ra_deg, dec_deg = (float(v) for v in image.wcs.wcs_pix2world([[columns // 2, rows // 2]], 0)[0])
    if not math.isfinite(ra_deg + dec_deg):
        raise UnreadableImage(
            f"{image.path}: its central pixel has no position on the sky", path=str(image.path)
        )
    # Raises if it isn't an observing date.
    partition_key(observed.mid_mjd)
    half_hz = 0.5 * (image.bandwidth_hz if math.isfinite(image.bandwidth_hz) else 0.0)
    return Observation(
        path=image.path,
        telescope=str(image.header.get("TELESCOP", "")).strip() or "unknown",
        start_mjd=observed.start_mjd,
        end_mjd=observed.end_mjd,
        mid_mjd=observed.mid_mjd,
        fields=(ObservedField(0, image.path.name, ra_deg, dec_deg, observed.mid_mjd),),
        declination_deg=dec_deg,
        antennas=(),
        spectral_windows=(
            SpectralWindow(
                0, image.frequency_hz - half_hz, image.frequency_hz + half_hz, 2 * half_hz, 1
            ),
        ),
        correlations=("I",),
        integration_s=SECONDS_PER_DAY * (observed.end_mjd - observed.start_mjd),
        n_integrations=1,
        n_rows=0,
        flagged_fraction=0.0,
        calibrators=(),
        signature=signature,
        unusable=_NO_MS,
        notes=image.notes,
        origin=ObservationOrigin.IMAGE,
    )
