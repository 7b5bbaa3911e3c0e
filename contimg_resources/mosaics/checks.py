"""Whether a mosaic is good enough.

Belongs here: comparing measures with limits and saying the outcome in words.
Doesn't: measuring.
"""

from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.mosaics.model import MosaicStatistics, Seam
from contimg_resources.settings import MosaicSettings

#: Less noise than this share of what is expected means a wrong scale or wrong weights.
_LEAST_RMS_RATIO = 0.7


def judge_noise(statistics: MosaicStatistics, limits: MosaicSettings) -> Verdict:
    """Judge the noise of a mosaic against what the noise of its tiles predicts."""
    ratio = statistics.rms_ratio
    return Verdict(
        name="mosaic_noise",
        passed=_LEAST_RMS_RATIO <= ratio <= limits.max_rms_ratio,
        words=f"noise {ratio:.2f} times what its {statistics.n_tiles} tiles predict "
        f"({_LEAST_RMS_RATIO:g} to {limits.max_rms_ratio:g} is allowed); "
        f"{1e3 * statistics.rms_jy:.3f} mJy/beam in its deepest quarter, "
        f"{1e3 * statistics.expected_rms_jy:.3f} expected",
        measures={
            "rms_ratio": ratio,
            "rms_mjy": 1e3 * statistics.rms_jy,
            "expected_rms_mjy": 1e3 * statistics.expected_rms_jy,
        },
    )


def judge_seams(seams: tuple[Seam, ...], limits: MosaicSettings) -> Verdict:
    """Judge the steps at the edges of tiles."""
    if not seams:
        return Verdict(
            name="mosaic_seams",
            passed=True,
            words="not evaluated: no tile's edge lies on other tiles",
            evaluated=False,
        )
    worst = max(seams, key=lambda s: s.sigma)
    return Verdict(
        name="mosaic_seams",
        passed=worst.sigma <= limits.max_seam_sigma,
        words=f"largest step at an edge {worst.sigma:.1f} sigma ({1e3 * worst.step_jy:+.3f} +- "
        f"{1e3 * worst.error_jy:.3f} mJy/beam, tile {worst.key}); {limits.max_seam_sigma:g} sigma "
        "is allowed",
        measures={"largest_seam_sigma": worst.sigma, "largest_seam_mjy": 1e3 * worst.step_jy},
    )
