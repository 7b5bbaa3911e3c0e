"""Compare the sources of an image with known sources.

Belongs here: matching. Doesn't: checks (see `acceptance`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging.beam import separation_rad, sin_of_sky
from contimg_resources.imaging.model import Beam, ImageResult, ReferenceSource, Source

#: A detected source matches a known one within this many minor axes of the beam.
_RADIUS_BEAMS = 0.5
#: A known source is isolated when nothing brighter than this share of it is within two beams.
_COMPANION = 0.05
_COMPANION_BEAMS = 2.0


@dataclass(frozen=True)
class Match:
    """A known source and its detection."""

    reference: ReferenceSource  #: The known source.
    source: Source  #: The detected source.
    flux_ratio: float  #: PB-corrected over known flux density, at the image's effective frequency.
    pull: float  #: Difference of the two divided by the measurement's error.
    offset_arcsec: float  #: Distance between the two, arcsec.
    isolated: bool  #: Whether no other known source is close enough to affect the flux density.


@dataclass(frozen=True)
class MatchReport:
    """The known sources within one image."""

    matches: tuple[Match, ...]  #: Known sources that were detected.
    #: Known sources inside the primary beam's cut that are bright enough but weren't detected.
    missed: tuple[ReferenceSource, ...]
    n_expected: int  #: Number of both together.
    #: `median_flux_ratio`, `median_offset_arcsec`: Medians over the matches, over isolated ones
    #: when there are any; NaN without matches.
    median_flux_ratio: float
    median_offset_arcsec: float

    @property
    def n_matched(self) -> int:
        """Return the number of known sources that were detected."""
        return len(self.matches)


def match_image(
    result: ImageResult, references: Sequence[ReferenceSource], min_snr: float = 10.0
) -> MatchReport:
    """Match known sources with the sources of an image.

    Parameters
    ----------
    result : ImageResult
        The image; its primary-beam file is read.
    references : sequence of ReferenceSource
        Known sources, anywhere on the sky.
    min_snr : float
        Signal-to-noise ratio of the expected peak (flux times primary beam over the image's rms)
        above which a known source is expected.

    Returns
    -------
    MatchReport
        Matches, misses and medians.
    """
    response = primary_beam_at(
        result,
        np.array([r.ra_deg for r in references]),
        np.array([r.dec_deg for r in references]),
    )
    fluxes = np.array([r.flux_at(result.frequency_hz) for r in references])
    rms = result.statistics.residual_rms_jy
    with np.errstate(invalid="ignore"):
        expected = np.flatnonzero(fluxes * response >= min_snr * rms)
    beam = result.statistics.beam
    matches, missed = [], []
    for i in map(int, expected):
        match = _match(references[i], fluxes[i], result, _alone(i, references, fluxes, beam))
        if match is None:
            missed.append(references[i])
        else:
            matches.append(match)
    judged = [m for m in matches if m.isolated] or matches
    return MatchReport(
        matches=tuple(matches),
        missed=tuple(missed),
        n_expected=len(expected),
        median_flux_ratio=float(np.median([m.flux_ratio for m in judged])) if judged else np.nan,
        median_offset_arcsec=(
            float(np.median([m.offset_arcsec for m in judged])) if judged else np.nan
        ),
    )


def primary_beam_at(
    result: ImageResult, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the primary beam of an image in directions (ICRS degrees); NaN outside or cut."""
    grid = result.grid
    try:
        from astropy.io import fits

        with fits.open(result.files.primary_beam) as hdus:
            pixels = np.squeeze(hdus[0].data)
    except OSError as error:
        raise ImagingFailed(f"{result.files.primary_beam} can't be read: {error}") from error
    east, north = sin_of_sky(ra_deg, dec_deg, grid.ra_deg, grid.dec_deg)
    cell_rad = np.deg2rad(grid.cell_arcsec / 3600)
    column = np.rint(grid.size // 2 - east / cell_rad).astype(int)
    row = np.rint(grid.size // 2 + north / cell_rad).astype(int)
    here = separation_rad(grid.ra_deg, grid.dec_deg, ra_deg, dec_deg) < np.pi / 2
    inside = here & (column >= 0) & (column < grid.size) & (row >= 0) & (row < grid.size)
    found = np.full(len(ra_deg), np.nan)
    found[inside] = pixels[row[inside], column[inside]]
    return found


def _match(
    reference: ReferenceSource, flux_jy: float, result: ImageResult, isolated: bool
) -> Match | None:
    if not result.sources:
        return None
    ra = np.array([s.ra_deg for s in result.sources])
    dec = np.array([s.dec_deg for s in result.sources])
    offsets = np.rad2deg(separation_rad(reference.ra_deg, reference.dec_deg, ra, dec)) * 3600
    nearest = int(np.argmin(offsets))
    if offsets[nearest] > _RADIUS_BEAMS * result.statistics.beam.minor_arcsec:
        return None
    source = result.sources[nearest]
    return Match(
        reference=reference,
        source=source,
        flux_ratio=source.flux_jy / flux_jy,
        pull=(source.flux_jy - flux_jy) / source.flux_error_jy,
        offset_arcsec=float(offsets[nearest]),
        isolated=isolated,
    )


def _alone(
    i: int,
    references: Sequence[ReferenceSource],
    fluxes: NDArray[np.float64],
    beam: Beam,
) -> bool:
    major = beam.major_arcsec
    ra = np.array([r.ra_deg for r in references])
    dec = np.array([r.dec_deg for r in references])
    near = separation_rad(references[i].ra_deg, references[i].dec_deg, ra, dec)
    close = near < np.deg2rad(_COMPANION_BEAMS * major / 3600)
    close[i] = False
    return not bool((fluxes[close] > _COMPANION * fluxes[i]).any())
