"""``contimg status``: state of the platform and of the observations.

Belongs here: querying both stores and the platform, and output.
Doesn't: storing anything.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, Since, Until
from contimg_resources.cli.console import print_json, print_lines, print_table, remark
from contimg_resources.cli.given import given_settings, opened_workshop

if TYPE_CHECKING:
    from contimg_resources.settings import Settings
    from contimg_resources.steps.staleness import StaleProduct

_SHOWN_FAILURES = 5


def status(
    stale: Annotated[
        bool,
        typer.Option(
            "--stale",
            help="List the observations whose products were made with another caltable set than "
            "the one that is valid now; count the mosaics and later products that are stale.",
        ),
    ] = False,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Show whether the platform runs, the states of the observations, and the last failures.

    Works without a running Dagster. Exit code 1 when there is no registry or products store yet.

    Example: `contimg status --json`
    """
    if stale:
        _tell_stale(given_settings(), since, until, as_json=as_json)
        return
    if since is not None or until is not None:
        raise typer.BadParameter("only with --stale", param_hint="--from, --to")
    from contimg_resources.cli.platform import running_address, watched_directory
    from contimg_resources.products.model import ObservationState
    from contimg_resources.products.store import ProductsStore
    from contimg_resources.registry.store import CalibrationRegistry
    from contimg_resources.steps.present import present_problems

    settings = given_settings()
    products = ProductsStore(settings.products_address, create=False)
    registry = CalibrationRegistry(settings.registry_address, create=False)
    counts = products.counts()
    sets = {s.value: n for s, n in registry.counts().items()}
    failed = products.list_observations(state=ObservationState.FAILED, limit=_SHOWN_FAILURES)
    latest = products.list_observations(limit=1)
    rejected = products.rejections.list()
    problems = tuple(present_problems(settings, products, registry))
    antennas = products.antennas.present(settings.antennas.days).bad
    told: dict[str, Any] = {
        "state": settings.state,
        "ms_dir": watched_directory(settings.state) or settings.incoming_dir,
        "uvh5_dir": watched_directory(settings.state, "uvh5_dir") or settings.incoming_uvh5_dir,
        "address": running_address(settings.state),
        "observations": {s.value: counts.get(s, 0) for s in ObservationState},
        "latest": latest[0] if latest else None,
        "caltable_sets": sets,
        "bad_antennas": antennas,
        "failed": failed,
        "rejected": rejected,
        "problems": problems,
    }
    if as_json:
        print_json(told)
        return
    print_lines(
        [
            f"state: {settings.state}",
            f"platform: {told['address'] or 'not running'}",
            f"MS directory: {told['ms_dir']}",
            f"directory of sub-band files: {told['uvh5_dir']}",
            "observations: " + _counts(told["observations"]),
            "caltable sets: " + _counts(sets),
            *(f"antenna {name}: {why}" for name, why in antennas.items()),
            *(f"problem: {problem}" for problem in problems),
        ]
    )
    if latest:
        print_lines([f"latest: {latest[0].key} {latest[0].state} {latest[0].reason}".rstrip()])
    if failed:
        print_table(
            ("failed", "step", "reason"),
            [(r.key, r.step, r.reason) for r in failed],
            title=f"The latest failures ({told['observations']['failed']} in total)",
        )
    if rejected:
        print_table(
            ("rejected", "reason"),
            [(one.name, one.reason) for one in rejected[:_SHOWN_FAILURES]],
            title=f"The latest rejected deliveries ({len(rejected)} in total)",
        )


def _tell_stale(
    settings: "Settings", since: str | None, until: str | None, *, as_json: bool
) -> None:
    from contimg_resources.core.times import parse_span
    from contimg_resources.steps.staleness import stale_observations, stale_products

    start_mjd, end_mjd = parse_span(since, until)
    workshop = opened_workshop(settings)
    found = stale_observations(workshop, start_mjd=start_mjd, end_mjd=end_mjd)
    if as_json:
        print_json(found)
        return
    if found:
        print_table(
            ("observation", "made with", "valid now", "reason"),
            [(s.key, s.applied, s.now, s.why) for s in found],
            title=f"{len({s.key for s in found})} observations have stale products",
        )
    else:
        remark("no observation has stale products: all were made with the sets valid now")
    if start_mjd is None and end_mjd is None:
        later: dict[str, list[StaleProduct]] = {}
        for one in stale_products(workshop):
            later.setdefault(one.kind, []).append(one)
        for kind, ones in later.items():
            remark(f"{kind}: {len(ones)} stale, first {ones[0].key}: {ones[0].why}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "none"
