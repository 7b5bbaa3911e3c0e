"""``contimg why`` and ``contimg verify``: the origin of a file, and comparison with the records.

Belongs here: arguments and output. Doesn't: finding the origin, comparing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, Since, Until
from contimg_resources.cli.console import print_json, print_lines, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.times import isot_from_mjd

if TYPE_CHECKING:
    from contimg_resources.products.derived import Product
    from contimg_resources.products.model import Artefact, ObservationRecord
    from contimg_resources.registry.model import CaltableSet
    from contimg_resources.steps.provenance import Provenance

_SHOWN_FILES = 6
_SECOND = 19  # characters of an ISO time up to the seconds


def why(
    product: Annotated[
        Path,
        typer.Argument(
            metavar="PRODUCT",
            help="An image, a calibrated MS, an MS or sub-band file that arrived, a caltable, a "
            "mosaic, measurements, a cutout, light curves, variability metrics, a candidate's card "
            "or a document of the export.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Print the origin of a file: MS, caltable set, inputs, checksums, parameters, software, run.

    The command also reports whether the file is stale. Exit code 1 when the stores have no record
    of the file, or when it differs from the record.

    Example: `contimg why state/images/61041/61041.00347/61041.00347.pbcor.fits`
    """
    from contimg_resources.steps.provenance import provenance_of
    from contimg_resources.steps.verifying import problem_of

    found = provenance_of(opened_workshop(given_settings()), product)
    problem = "" if found.product is None else problem_of(found.product)
    if not problem and (companion := found.companion) is not None:
        problem = problem_of(companion)
    if as_json:
        print_json({"origin": found, "problem": problem})
    else:
        print_lines(_lines(found, problem))
    if problem:
        raise typer.Exit(1)


def _lines(found: "Provenance", problem: str) -> list[str]:
    lines = [f"{found.kind}: {found.path}"]
    if found.observation is not None:
        record = found.observation
        lines += [
            f"observation: {record.key}, {isot_from_mjd(record.start_mjd)[:_SECOND]} to "
            f"{isot_from_mjd(record.end_mjd)[:_SECOND]} UTC, declination "
            f"{record.declination_deg:+.2f} deg",
            *_source_of(record),
            f"  state: {record.state}" + (f": {record.reason}" if record.reason else ""),
        ]
    if found.product is not None:
        lines += _of_product(found.product, found.marks, problem)
    shown = found.made_from[-_SHOWN_FILES:]
    lines += [f"made from: {path}" for path in shown]
    if (n_more := len(found.made_from) - len(shown)) > 0:
        lines.append(f"  and {n_more} before these")
    lines += [line for chosen in found.sets for line in _of_set(chosen, borrowed=found.borrowed)]
    if found.applied_elsewhere:
        lines.append(f"caltable set: {found.applied_elsewhere}, which isn't in this registry")
    for stale in found.stale:
        now = f"{stale.now} would be applied" if stale.now else "no set is valid"
        lines.append(f"STALE: {now} today; {stale.why}")
    return lines + ([f"STALE: {found.why_stale}"] if found.why_stale else [])


def _source_of(record: "ObservationRecord") -> list[str]:
    kind = "image made elsewhere" if record.origin == "image" else "MS"
    if record.origin == "sub_bands":
        return [f"  MS, made of sub-band files: {record.path}"]
    return [f"  {kind}: {record.path}, signature {record.signature}"]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _in_words(value)
    return ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _of_product(product: "Artefact | Product", marks: dict[str, str], problem: str) -> list[str]:
    run = f"run {product.run_id}" if product.run_id else "the command line"
    facts = {**product.parameters, **marks}
    return [
        f"made: {isot_from_mjd(product.created_mjd)[:_SECOND]} UTC by {run}",
        f"  content: {product.checksum or 'without a checksum, for its size'}, "
        f"{product.size_bytes} bytes: " + (problem or "as it was made"),
        *(f"  {name}: {_value(value)}" for name, value in facts.items()),
        f"  software: {_in_words(product.software)}",
    ]


def _of_set(chosen: "CaltableSet", *, borrowed: bool) -> list[str]:
    reasons = "".join(f"; {reason}" for reason in chosen.reasons)
    return [
        f"caltable set: {chosen.name} v{chosen.version}, {chosen.status}{reasons}"
        + (", BORROWED: applied outside its window" if borrowed else ""),
        f"  valid: MJD {chosen.start_mjd:.5f} to {chosen.end_mjd:.5f}, calibrator "
        f"{chosen.calibrator}, reference antenna {chosen.refant or '-'}",
        f"  solved from: {chosen.origin.get('ms') or chosen.origin.get('prefix') or '-'}",
        *(f"  {t.type} {t.apply_order}: {t.path} {t.checksum}" for t in chosen.tables),
    ]


def _in_words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"


def verify(since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Compare every byte of products and active caltables with their checksums.

    The two stores are compared too, since products name sets of the registry. A calibrated MS, too
    large for a checksum, is compared by its size. Exit code 1 when a file differs or is missing.
    Files of products without a record, which an earlier contimg made or a killed step left, are
    counted: they are no damage.

    Example: `contimg verify --from 2025-10-06 --to 2025-10-07`
    """
    from contimg_resources.core.times import parse_span
    from contimg_resources.steps.verifying import (
        how_to_record,
        store_problems,
        unrecorded_files,
        verify_products,
    )

    start_mjd, end_mjd = parse_span(since, until)
    workshop = opened_workshop(given_settings())
    with progress("verifying") as say:
        verified = verify_products(workshop, start_mjd=start_mjd, end_mjd=end_mjd, progress=say)
        say("comparing caltables", None)
        tables = workshop.registry.verify()
        stores = store_problems(workshop)
        say("looking for files without a record", None)
        unrecorded = unrecorded_files(workshop)
    problems = [*stores, *verified.problems, *tables]
    if as_json:
        print_json(
            {
                "n_products": verified.n_products,
                "products": verified.problems,
                "caltables": tables,
                "stores": stores,
                "unrecorded": unrecorded,
            }
        )
    elif problems:
        print_lines(problems)
    else:
        remark(f"{verified.n_products} products and every active caltable are unchanged")
    if not as_json:
        for kind, files in unrecorded.items():
            remark(
                f"{len(files)} files of {kind} have no record, first {files[0]}: "
                f"{how_to_record(kind)}"
            )
    if problems:
        raise typer.Exit(1)
