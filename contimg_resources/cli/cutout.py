"""``contimg cutout``: the sky around a source, epoch by epoch.

Belongs here: arguments and output. Doesn't: the step, which the asset calls too.
"""

from typing import Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, Since, Until
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop

_SHOWN = 40


def cutout(
    source: Annotated[str, typer.Argument(help="Id of a source: `nvss-013741+330935`.")],
    since: Since = None,
    until: Until = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Also make the weighted mean of the cutouts.")
    ] = False,
    animate: Annotated[
        bool, typer.Option("--animate", help="Also make an animation of the cutouts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a cutout of a source from every mosaic in which it was measured, as FITS and PNG.

    Existing cutouts of unchanged mosaics are kept. With `--from` or `--to`, the stack and the
    animation use that span; otherwise all existing cutouts.

    Example: `contimg cutout nvss-013741+330935 --stack --animate`
    """
    from contimg_resources.core.times import parse_span
    from contimg_resources.steps.cutouts import animate_source, cut_source, stack_source

    start_mjd, end_mjd = parse_span(since, until)
    workshop = opened_workshop(given_settings())
    with progress("cutouts") as say:
        found = cut_source(workshop, source, start_mjd=start_mjd, end_mjd=end_mjd, progress=say)
        of_span = {epoch for _, epoch in found.pngs}
        epochs = None if since is None and until is None else of_span
        if stack:
            say("stacking", None)
        stacked = stack_source(workshop, source, epochs) if stack else None
        if animate:
            say("animating", None)
        animated = animate_source(workshop, source, epochs) if animate else None
    pictures = [
        {"epoch": epoch, "mid_mjd": mid_mjd, "png": png, "made": epoch in found.made}
        for (mid_mjd, epoch), png in found.pngs.items()
    ]
    if as_json:
        told: dict[str, Any] = {
            "source_id": source,
            "directory": found.directory,
            "made": found.made,
            "kept": found.kept,
            "gone": found.gone,
            "failed": found.failed,
            "cutouts": pictures,
            "stack": stacked,
            "animation": None if animated is None else {"gif": animated[0], "frames": animated[1]},
        }
        print_json(told)
        return
    shown = pictures[-_SHOWN:]
    print_table(
        ("epoch", "MJD", "", "picture"),
        [
            (p["epoch"], f"{p['mid_mjd']:.5f}", "made" if p["made"] else "kept", p["png"])
            for p in shown
        ],
        title=f"{source}: the last {len(shown)} of {len(pictures)} cutouts",
    )
    remark(
        f"{len(found.made)} made, {len(found.kept)} kept, {len(found.gone)} mosaics missing; "
        f"{found.directory}"
    )
    for epoch, reason in found.failed.items():
        remark(f"  {epoch}: {reason}")
    if stacked is not None:
        remark(f"stack of {stacked.n_epochs}: {1e3 * stacked.rms_jy:.3g} mJy/beam; {stacked.png}")
    if animated is not None:
        remark(f"animation of {animated[1]} frames: {animated[0]}")
