"""``contimg backup``: copies of both stores.

Belongs here: arguments and output. Doesn't: copying.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory
from contimg_resources.cli.console import print_json, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop

REGISTRY, PRODUCTS = "registry.sqlite3", "products.sqlite3"


def backup(
    directory: Annotated[Path, typer.Argument(help="Where both files are written.")],
    state: StateDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Copy the calibration registry and the products store, while the platform runs.

    Each copy is of one moment and is checked; an earlier one is replaced when the new one is whole.
    Never copy the files themselves meanwhile: what was written last is in files beside them.

    Example: `contimg backup /backup/contimg`
    """
    workshop = opened_workshop(given_settings(state=state))
    # The registry last: what products name is in it then.
    copies = {"products": directory / PRODUCTS, "registry": directory / REGISTRY}
    with progress("backup") as say:
        say("copying the products store", 0.0)
        workshop.products.back_up(copies["products"])
        say("copying the calibration registry", 0.5)
        workshop.registry.back_up(copies["registry"])
    if as_json:
        print_json(copies)
        return
    for path in copies.values():
        remark(f"{path}: {path.stat().st_size} bytes")
