"""``contimg verify``: compare products and caltables with the recorded checksums.

Belongs here: arguments and output. Doesn't: comparing.
"""

import typer

from contimg_resources.cli.arguments import AsJson, Since, StateDirectory, Until
from contimg_resources.cli.console import print_json, print_lines, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop


def verify(
    state: StateDirectory = None, since: Since = None, until: Until = None, as_json: AsJson = False
) -> None:
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
    workshop = opened_workshop(given_settings(state=state))
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
