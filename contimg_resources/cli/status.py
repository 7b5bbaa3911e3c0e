"""``contimg status``: whether the platform runs, and how far the observations are.

Belongs here: asking both stores and the platform, and output.
Doesn't: keeping anything; all of it is known elsewhere.
"""

from typing import Any

from contimg_resources.cli.arguments import AsJson, StateDirectory
from contimg_resources.cli.console import print_json, print_lines, print_table
from contimg_resources.cli.given import given_settings

_SHOWN_FAILURES = 5


def status(state: StateDirectory = None, as_json: AsJson = False) -> None:
    """Tell whether the platform is up, how far the observations are, and what failed last.

    Works without a running Dagster. Exit code 1 when there is no registry or products store yet.

    Example: `contimg status --json`
    """
    from contimg_resources.cli.platform import running_address, watched_directory
    from contimg_resources.products.model import ObservationState
    from contimg_resources.products.store import ProductsStore
    from contimg_resources.registry.model import SetStatus
    from contimg_resources.registry.store import CalibrationRegistry

    settings = given_settings(state=state)
    products = ProductsStore(settings.products_address, create=False)
    registry = CalibrationRegistry(settings.registry_address, create=False)
    counts = products.counts()
    sets = {s.value: len(registry.list_sets(status=s)) for s in SetStatus}
    failed = products.list_observations(state=ObservationState.FAILED, limit=_SHOWN_FAILURES)
    latest = products.list_observations(limit=1)
    told: dict[str, Any] = {
        "state": settings.state,
        "ms_dir": watched_directory(settings.state) or settings.incoming_dir,
        "address": running_address(settings.state),
        "observations": {s.value: counts.get(s, 0) for s in ObservationState},
        "latest": latest[0] if latest else None,
        "caltable_sets": sets,
        "failed": failed,
    }
    if as_json:
        print_json(told)
        return
    print_lines(
        [
            f"state: {settings.state}",
            f"platform: {told['address'] or 'not running'}",
            f"MS directory: {told['ms_dir']}",
            "observations: " + _counts(told["observations"]),
            "caltable sets: " + _counts(sets),
        ]
    )
    if latest:
        print_lines([f"latest: {latest[0].key} {latest[0].state} {latest[0].reason}".rstrip()])
    if failed:
        print_table(
            ("failed", "step", "why"),
            [(r.key, r.step, r.reason) for r in failed],
            title=f"The latest failures ({told['observations']['failed']} in all)",
        )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "none"
