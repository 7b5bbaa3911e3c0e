"""``contimg mosaic``: rolling mosaics, without a running Dagster.

Belongs here: arguments and output. Doesn't: the step, which the asset calls too.
"""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.errors import MosaicFailed

if TYPE_CHECKING:
    from contimg_resources.steps.workshop import Workshop


def mosaic(
    key: Annotated[
        str | None,
        typer.Argument(
            help="Mid-MJD of the hour, and declination: `61041.02083+54.6`. Default: list the "
            "mosaics."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Make every mosaic that can be made now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the mosaic of an hour, or list mosaics and what they wait for.

    Exit code 1 when a mosaic can't be made or fails a check.

    Example: `contimg mosaic 61041.02083+54.6`
    """
    from contimg_resources.steps.mosaicking import mosaic_observations, open_mosaics

    workshop = opened_workshop(given_settings())
    if key is None and not everything:
        _list(workshop, as_json=as_json)
        return
    keys = [key] if key else [m.key for m in open_mosaics(workshop) if not m.waits_for]
    made = []
    for one in keys:
        with progress(f"mosaic {one}") as say:
            made.append(mosaic_observations(workshop, one, progress=say))
    if as_json:
        print_json([m.record for m in made])
    for m in made:
        if not as_json:
            remark(f"{m.record.key}: {m.result.statistics.n_tiles} images, {m.result.directory}")
            for verdict in m.verdicts:
                remark(f"  {'good' if verdict.passed else 'BAD'}: {verdict.words}")
    bad = [m.record.key for m in made if m.record.reason]
    if bad:
        raise MosaicFailed(f"not good: {', '.join(bad)}")
    if not made:
        remark("no mosaic can be made now")


def _list(workshop: "Workshop", *, as_json: bool) -> None:
    from contimg_resources.steps.mosaicking import open_mosaics

    known = workshop.products.mosaics.list()
    still = open_mosaics(workshop)
    if as_json:
        print_json(
            {
                "mosaics": known,
                "open": [{"key": m.key, "waits_for": m.waits_for} for m in still],
            }
        )
        return
    waiting = {m.key: m.waits_for or "can be made" for m in still}
    rows: list[tuple[object, ...]] = [
        (
            m.key,
            m.state.value,
            len(m.tiles),
            _mjy(m.statistics.rms_mjy),
            waiting.pop(m.key, None),
            m.reason or None,
        )
        for m in known
    ]
    rows += [(key, "-", None, None, words, None) for key, words in sorted(waiting.items())]
    print_table(("mosaic", "state", "images", "rms (mJy)", "waits for", "reason"), rows)


def _mjy(value: float) -> str | None:
    return f"{value:.3f}" if math.isfinite(value) else None
