"""``contimg demo`` with two acts that are over at once; everything else is the real command."""

from pathlib import Path

import contimg_resources.cli.demo as demo
from contimg_resources.cli.main import main
from contimg_resources.cli.platform import Platform
from contimg_resources.demo.foreign import MeasuredImage
from contimg_resources.demo.ngc5921 import PUBLISHED_FLUX_PT99_JY, PUBLISHED_RATIO
from contimg_resources.demo.night import NightRow


class Act:
    """The figures of the first act that are printed and judged: the published ones."""

    ratio = PUBLISHED_RATIO
    image_peak_pt99_jy = PUBLISHED_FLUX_PT99_JY
    image_peak_jy = PUBLISHED_FLUX_PT99_JY
    to_pt99 = 1.0


def night(workshop: object, platform: Platform, timeout_s: float) -> tuple[NightRow, ...]:
    """Wait for Dagster as the night does, and give a night of which nothing arrived."""
    platform.wait_until_ready()
    return (NightRow("2025-10-06T08:28:42", None, "", None, None),)


if __name__ == "__main__":
    demo._real = lambda *_: {"imported by CASA": Act()}
    demo._night = night
    demo._foreign = lambda *_: MeasuredImage(
        Path("1445+099_casa.fits"), "49820.40000", PUBLISHED_FLUX_PT99_JY, 0.001
    )
    # A night of which nothing arrived would be a failure.
    demo._failures = lambda rows: []
    demo._hours = lambda *_: ()
    demo._season = lambda *_: None
    demo._bad_hours = lambda hours: []
    main()
