"""``contimg found``: the sources of mosaics, found without a catalogue.

Belongs here: arguments and output. Doesn't: the steps, which the asset calls too.
"""

from typing import Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop

_SHOWN = 40


def found(
    key: Annotated[
        str | None,
        typer.Argument(
            help="A mosaic (`61041.02083+54.6`): find its sources. Default: list the mosaics with "
            "a list."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the sources of a mosaic without a catalogue, or list the mosaics that have a list.

    Example: `contimg found 61041.02083+54.6`
    """
    from contimg_resources.products.derived import DerivedKind
    from contimg_resources.steps.finding import find_in_mosaic

    workshop = opened_workshop(given_settings())
    if key is None:
        lists = workshop.products.derived
        made = [
            p
            for k in sorted(lists.checksums(DerivedKind.FOUND_SOURCES))
            if (p := lists.get(DerivedKind.FOUND_SOURCES, k)) is not None
        ]
        if as_json:
            print_json(made)
            return
        print_table(
            ("mosaic", "sources", "expected", "limit (sigma)", "rejected", "file"),
            [
                (
                    p.key,
                    p.parameters["n_sources"],
                    f"{p.parameters['n_expected']:.0f}",
                    f"{p.parameters['min_snr']:.2f}",
                    p.parameters["n_rejected"],
                    p.path,
                )
                for p in made
            ],
        )
        return
    with progress(f"finding sources in {key}") as say:
        listed = find_in_mosaic(workshop, key, progress=say)
    rows = _rows(listed.path)
    if as_json:
        print_json({"product": listed.product, "sources": rows})
        return
    print_table(
        ("name", "peak (mJy)", "error", "integrated (mJy)", "error", "size (arcsec)", "catalogue"),
        [
            (
                r["name"],
                *(
                    f"{1e3 * r[name]:.2f}"
                    for name in (
                        *("peak_jy", "peak_error_jy"),
                        *("integrated_jy", "integrated_error_jy"),
                    )
                ),
                None
                if r["major_arcsec"] is None
                else f"{r['major_arcsec']:.0f} x {r['minor_arcsec']:.0f}, {r['angle_deg']:.0f} deg",
                r["catalogue_id"] or None,
            )
            for r in rows[:_SHOWN]
        ],
        title=f"{key}: the brightest {min(_SHOWN, len(rows))} of {len(rows)} sources",
    )
    verdict = listed.verdict
    remark(f"{listed.path}, {listed.product.companions[0].path.name}")
    remark(f"  {'good' if verdict.passed else 'BAD'}: {verdict.words}")


def _rows(path: Any) -> list[dict[str, Any]]:
    from contimg_resources.photometry.found import FORMAT

    table, _ = FORMAT.read(path)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
