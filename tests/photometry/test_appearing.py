"""Which detections are more than false alarms, and when earlier epochs exclude a source."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from contimg_resources.photometry.completeness import measure_reliability
from contimg_resources.photometry.finding import find_sources
from contimg_resources.photometry.found import FoundSources
from contimg_resources.photometry.new_sources import (
    Detections,
    ForcedCurve,
    appearance_of,
    best_of_transits,
    clusters,
    isolated,
    single_share,
)
from contimg_resources.products.events import NewSourceState
from contimg_resources.settings import FindingSettings
from contimg_resources.simulation.tiles import correlated_noise
from tests.photometry.skies import BEAM, CELL_ARCSEC, RMS_JY, SIZE
from tests.photometry.test_finding import image_of

BEAM_ARCSEC, ERROR_JY = 40.0, 1e-3


def curve(flux_mjy: Any, found: Any = (), **changed: Any) -> ForcedCurve:
    """Return a light curve with errors of 1 mJy; `found` are the detected transits."""
    flux = 1e-3 * np.asarray(flux_mjy, float)
    n = len(flux)
    is_found = np.isin(np.arange(n), list(found))
    values: dict[str, Any] = {
        "epoch": np.array([f"e{i}" for i in range(n)]),
        "mid_mjd": 61_000.0 + np.arange(n),
        "flux_jy": flux,
        "error_jy": np.full(n, ERROR_JY),
        "found_snr": np.where(is_found, flux / ERROR_JY, np.nan),
        "is_found": is_found,
    }
    return ForcedCurve(**{**values, **changed})


def detections(*rows: tuple[float, float, int, float]) -> Detections:
    """Return detections: offset east (arcsec), error (arcsec), transit, S/N; limits of 5 and 6."""
    east, error, transit, snr = np.array(rows, float).T
    n = len(rows)
    return Detections(
        epoch=np.array([f"e{t:.0f}" for t in transit]),
        mid_mjd=transit,
        transit=transit.astype(int),
        ra_deg=(359.999 + east / 3600 / np.cos(np.radians(54.0))) % 360,
        dec_deg=np.full(n, 54.0),
        east_error_arcsec=error,
        north_error_arcsec=error,
        snr=snr,
        new_snr=np.full(n, 5.0),
        single_snr=np.full(n, 6.0),
        beam_arcsec=np.full(n, BEAM_ARCSEC),
    )


@pytest.mark.parametrize(
    ("flux_mjy", "found", "state", "words"),
    [
        ([0.3, -0.2, 0.1, 9.0, 10.0], (3, 4), NewSourceState.NEW, ""),
        # It faded again: it stays an event.
        ([0.3, -0.2, 0.1, 9.0, 0.0, 0.0, 0.0, 0.0], (3,), NewSourceState.NEW, ""),
        # It rises slowly: the epochs since then exclude the earlier flux density.
        ([0.1, 0.0, -0.3, 5.1, 6.0, 8.0, 9.0], (3, 4), NewSourceState.NEW, ""),
        # Noise lifts a steady source above the limit.
        ([4.1, 3.8, 4.4, 4.0, 5.4], (4,), NewSourceState.UNCATALOGUED, "show it"),
        ([4.1, 6.2], (1,), NewSourceState.UNCATALOGUED, "don't exclude"),
        ([6.2, 0.0, 0.0], (0,), NewSourceState.UNCATALOGUED, "no earlier epoch"),
        # The list of the second epoch lacks it.
        ([0.0, 12.0, 12.0], (2,), NewSourceState.NEW, ""),
        ([12.0, 12.0, 12.0], (2,), NewSourceState.UNCATALOGUED, "no earlier epoch"),
        ([0.0, 0.0], (), NewSourceState.WITHDRAWN, "no list"),
    ],
)
def test_only_what_earlier_epochs_exclude_is_new(
    flux_mjy: list[float], found: tuple[int, ...], state: NewSourceState, words: str
) -> None:
    got, told = appearance_of(curve(flux_mjy, found))
    assert got is state, told
    assert words in told.reason
    assert (told.reason == "") == (state is NewSourceState.NEW)


def test_the_mean_of_earlier_epochs_is_that_of_their_stack() -> None:
    error = np.array([1e-3, 2e-3, 1e-3])
    _, told = appearance_of(replace(curve([1.0, -2.0, 20.0], (2,)), error_jy=error))
    assert told.earlier_jy == pytest.approx(1e-3 * (1.0 - 2.0 / 4) / 1.25)
    assert told.earlier_error_jy == pytest.approx(1e-3 / np.sqrt(1.25))
    assert told.upper_limit_jy == pytest.approx(told.earlier_jy + 3 * told.earlier_error_jy)
    assert (told.first_epoch, told.n_earlier, told.peak_jy) == ("e2", 2, 0.02)


def test_steady_sources_at_the_limit_are_no_events() -> None:
    rng = np.random.default_rng(8)
    for snr in (3.0, 4.0, 5.0, 6.0):
        for flux in snr + rng.standard_normal((250, 40)):
            state, told = appearance_of(curve(flux, np.flatnonzero(flux > 5.0)))
            assert state is not NewSourceState.NEW, told


def test_a_single_detection_needs_more_than_two() -> None:
    assert not detections((0, 2, 1, 5.5)).is_significant
    assert detections((0, 2, 1, 6.1)).is_significant
    assert detections((0, 2, 1, 5.5), (1, 2, 2, 4.6)).is_significant
    # Two mosaics of one transit share their data.
    assert not detections((0, 2, 1, 5.5), (1, 2, 1, 5.6)).is_significant
    assert not detections((0, 2, 1, 4.8), (1, 2, 2, 4.9)).is_significant


def test_detections_are_associated_within_their_errors() -> None:
    # Across RA 0; the third is another source, the last has a large error.
    some = detections((0, 1, 1, 20), (5, 1, 2, 21), (30, 1, 1, 9), (12, 4, 3, 5))
    groups = [sorted(g.tolist()) for g in clusters(some)]
    assert groups == [[0, 1, 3], [2]]
    assert some.of(359.999, 54.0, 0.0).tolist() == [0, 1, 3]


def test_the_best_measurement_of_a_transit_counts() -> None:
    assert best_of_transits(np.array([3, 1, 3, 3]), np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [
        1,
        2,
    ]
    assert len(best_of_transits(np.empty(0, int), np.empty(0))) == 0


def test_components_and_sidelobes_are_not_isolated() -> None:
    values: dict[str, Any] = {f.name: np.ones(1) for f in fields(FoundSources)}
    values |= {"flags": np.zeros(1, int), "major_arcsec": np.array([np.nan])}
    one = FoundSources(**values)
    ra, dec, jy = one.ra_deg[0], one.dec_deg[0], one.peak_jy[0]

    def alone(away_arcsec: float, times: float, size_arcsec: float = np.nan) -> bool:
        there = (np.array([ra]), np.array([dec + away_arcsec / 3600]))
        other = (np.array([times * jy]), np.array([size_arcsec]))
        return bool(isolated(one, BEAM_ARCSEC, *there, *other)[0])

    assert alone(100, 0.9)
    assert not alone(100, 1.1)
    assert alone(140, 100)
    assert not alone(140, 100, 60.0)
    assert alone(300, 190)
    assert not alone(300, 210)
    # The level falls with the square of the distance beyond 15 beams.
    assert alone(1300, 800)
    assert not alone(1300, 1000)
    assert not isolated(
        replace(one, n_components=np.array([2])), BEAM_ARCSEC, *[np.empty(0)] * 4
    ).any()


def noise_of(seed: int) -> np.ndarray:
    return RMS_JY * correlated_noise(SIZE, CELL_ARCSEC, BEAM, seed)


def test_noise_alone_has_at_most_the_stated_rate_of_false_alarms() -> None:
    n_images, accepted = 5, 0.5
    above, single = 0, 0
    for seed in range(n_images):
        found = find_sources(image_of(noise_of(seed), RMS_JY), FindingSettings())
        reliability = measure_reliability(found)
        above += int((found.sources.snr >= reliability.limit(accepted)).sum())
        single += int((found.sources.snr >= reliability.limit(single_share(accepted))).sum())
    # 2.5 are expected: 9 or more have a probability of 0.001.
    assert above <= 8
    assert single <= 1
