"""Options that several commands share.

Belongs here: their names and help texts. Doesn't: options of one command.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.settings import Settings


def setting_help(name: str) -> str:
    """Return the help of an option that overrides a setting: the meaning of the setting.

    Parameters
    ----------
    name : str
        Name of the setting, such as ``calibration.borrow``.
    """
    section, _, field = name.rpartition(".")
    model = type(Settings.model_fields[section].default) if section else Settings
    meaning = str(model.model_fields[field].description)
    return f"{meaning.partition('; None:')[0].rstrip('.')}. Default: from the settings."


AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON to stdout.")]

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only check and show the outcome; the state isn't changed."),
]

RegistryAddress = Annotated[
    str | None,
    typer.Option(
        "--db",
        "--registry-db",
        metavar="PATH|URL",
        help=setting_help("registry_url"),
    ),
]

ProductsAddress = Annotated[
    str | None,
    typer.Option(
        "--products-db",
        metavar="PATH|URL",
        help=setting_help("products_url"),
    ),
]

StateDirectory = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help=setting_help("state")),
]

MsDirectory = Annotated[
    Path | None, typer.Option("--ms-dir", metavar="DIR", help=setting_help("ms_dir"))
]

SubBandDirectory = Annotated[
    Path | None, typer.Option("--uvh5-dir", metavar="DIR", help=setting_help("uvh5_dir"))
]

Borrow = Annotated[
    bool | None, typer.Option("--borrow/--no-borrow", help=setting_help("calibration.borrow"))
]

Since = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DATE",
        help="Only observations from this time on: a UTC date or time, or an MJD.",
    ),
]

Until = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="DATE",
        help="Only observations up to this time: a UTC date or integer MJD (with the whole "
        "day), or a UTC time.",
    ),
]

ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="ROLE=COLUMN[:UNIT]",
        help="Column of a quantity, and its unit where the file states none: `ra=RAJ2000`, "
        "`dec=DEJ2000`, `flux=S1400:mJy`; also name, flux_error, frequency, spectral_index, major, "
        "minor, angle. Repeatable.",
    ),
]

FrequencyOption = Annotated[
    str | None,
    typer.Option(
        metavar="FREQUENCY", help="Frequency of all flux densities: `1400MHz`, `0.8875GHz`."
    ),
]

FrameOption = Annotated[
    str,
    typer.Option(
        metavar="FRAME",
        help="Frame of the positions, where the file states none: ICRS, FK5, FK4, B1950, galactic.",
    ),
]

TableOption = Annotated[
    str,
    typer.Option(
        "--table", metavar="NAME", help="Name or number of the table in a file with several."
    ),
]
