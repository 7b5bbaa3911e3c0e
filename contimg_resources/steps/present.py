"""What is wrong at this moment.

Belongs here: problems that follow from the clock: nothing arrives, no caltable set is valid any
more, the disk is full. Doesn't: problems of the night's observations (see
`contimg_resources.export.status`).
"""

from collections.abc import Iterator

from contimg_resources.alerts.silence import silence_in_words, silence_min
from contimg_resources.core.errors import NoValidCaltables
from contimg_resources.database import now_mjd as clock_mjd
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.disk_space import shortage, unwritable


def present_problems(
    settings: Settings,
    products: ProductsStore,
    registry: CalibrationRegistry,
    *,
    now_mjd: float | None = None,
) -> Iterator[str]:
    """Yield each problem as a sentence; `now_mjd` is MJD in days, by default the clock's."""
    at_mjd = clock_mjd() if now_mjd is None else now_mjd
    latest = products.list_observations(limit=1)
    for last in latest:
        patience_min = settings.alerts.silence_min
        if patience_min is not None and silence_min(last, at_mjd) > patience_min:
            yield silence_in_words(last, at_mjd)
        try:
            registry.active(
                at_mjd,
                declination_deg=last.declination_deg,
                strip_tolerance_deg=settings.calibration.strip_tolerance_deg,
                verify=False,
            )
        except NoValidCaltables as error:
            yield f"no caltable set is valid now: {error.message}"
    yield from filter(None, (shortage(settings), unwritable(settings)))
    if rejected := products.rejections.list():
        n = len(rejected)
        yield (
            f"{n} {'delivery' if n == 1 else 'deliveries'} rejected, the last one "
            f"{rejected[0].name}: {rejected[0].reason}"
        )
