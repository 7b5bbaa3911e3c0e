"""``contimg found`` and ``contimg new-sources``: sources found without a catalogue, and new ones.

Belongs here: arguments and output. Doesn't: the steps, which the asset calls too.
"""

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.times import utc_day

if TYPE_CHECKING:
    from contimg_resources.products.new_sources import NewSourceRecord

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


def new_sources(
    key: Annotated[
        str | None,
        typer.Argument(
            help="A mosaic (`61041.02083+54.6`): search its list of found sources. Default: list "
            "the sources that the catalogue lacks."
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Search the lists of all mosaics, in the order of time."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the sources that neither the catalogue nor earlier epochs have, or list them.

    Sources that are more than false alarms are named and measured on the mosaics of all epochs.
    Those that earlier epochs exclude are candidates (`contimg candidates list`).

    Example: `contimg new-sources 61041.02083+54.6`
    """
    from contimg_resources.core.errors import rejecting
    from contimg_resources.products.derived import DerivedKind
    from contimg_resources.steps.new_sources import NewInMosaic, find_new

    workshop = opened_workshop(given_settings())
    keys = [key] if key else []
    if everything:
        keys = [p.key for p in workshop.products.derived.listed(DerivedKind.FOUND_SOURCES)]
    told: dict[str, str] = {}
    failed: dict[str, str] = {}
    for one in keys:
        # Of all mosaics, one that can't be searched doesn't stop the others.
        alone = nullcontext() if key else rejecting(failed, one)
        with progress(f"new sources in {one}") as say, alone:
            found = find_new(workshop, one, progress=say)
            told[one] = found.words if isinstance(found, NewInMosaic) else found.reason
    for name, words in told.items():
        remark(f"{name}: {words}")
    for name, why in failed.items():
        remark(f"{name} isn't searched: {why}")
    listed = workshop.products.new_sources.list()
    if as_json:
        print_json(listed)
        return
    print_table(
        ("name", "state", "first found", "now (mJy)", "earlier (mJy)", "sigma", "why no event"),
        [_new_line(one) for one in listed],
        title="Sources that the catalogue lacks",
    )


def _new_line(one: "NewSourceRecord") -> tuple[Any, ...]:
    told = one.evidence

    def mjy(value: float, error: float) -> str | None:
        return f"{1e3 * value:.2f} ± {1e3 * error:.2f}" if math.isfinite(value) else None

    return (
        one.name,
        one.state.value,
        str(utc_day(told.first_mjd)) if math.isfinite(told.first_mjd) else None,
        mjy(told.latest_jy, told.latest_error_jy),
        mjy(told.earlier_jy, told.earlier_error_jy),
        f"{told.significance:.1f}" if math.isfinite(told.significance) else None,
        told.reason or None,
    )
