"""A user's own list of calibrators as a file.

Belongs here: reading CSV and ECSV, with errors that name file, row and column.
Doesn't: what a calibrator is (see `contimg_resources.observations.calibrators`).
"""

import math
from pathlib import Path
from typing import Any

from contimg_resources.errors import ConfigurationError
from contimg_resources.observations.calibrators import (
    Calibrator,
    CalibratorCatalogue,
    refuse_variable,
)
from contimg_resources.observations.flux_model import FluxModel

#: Numeric columns with their units and the bounds within which a value makes sense.
_NUMBERS: dict[str, tuple[str, float, float]] = {
    "ra_deg": ("deg", 0.0, 360.0),
    "dec_deg": ("deg", -90.0, 90.0),
    "flux_jy": ("Jy", 0.0, 1e5),
    "reference_ghz": ("GHz", 0.01, 1000.0),
    "spectral_index": ("", -5.0, 5.0),
}
COLUMNS = ("name", *_NUMBERS)


def load_catalogue(calibrator_list: Path | None) -> CalibratorCatalogue:
    """Return the sources of the flux scale and those of a user's list, if there is one.

    Raises
    ------
    ConfigurationError
        If the list is malformed (see `read_calibrator_list`) or takes a name that is taken.
    """
    if calibrator_list is None:
        return CalibratorCatalogue()
    return CalibratorCatalogue(read_calibrator_list(calibrator_list))


def read_calibrator_list(path: Path, *, skip_variable: bool = False) -> tuple[Calibrator, ...]:
    """Read a CSV or ECSV of calibrators.

    Parameters
    ----------
    path : Path
        Columns ``name``, ``ra_deg``, ``dec_deg`` (ICRS), ``flux_jy`` at ``reference_ghz``, and
        ``spectral_index`` (S ~ nu^alpha). Units of an ECSV are converted. Others are ignored.
    skip_variable : bool
        Leave out sources that are known to vary, as from a survey, instead of refusing the list.

    Returns
    -------
    tuple of Calibrator
        In the order of the file.

    Raises
    ------
    ConfigurationError
        If the file is missing or isn't a table, a column is missing, or a value is missing, no
        number, or out of bounds: the message names file, row (1 is the first after the header)
        and column. No value has a default.
    """
    table = _open(path)
    missing = [c for c in COLUMNS if c not in table.colnames]
    if missing:
        raise ConfigurationError(
            f"calibrator list {path}: no column {', '.join(missing)}; "
            f"it has {', '.join(table.colnames)}",
            path=str(path),
        )
    factors = {c: _unit_factor(path, table, c, unit) for c, (unit, _, _) in _NUMBERS.items()}
    calibrators: list[Calibrator] = []
    rows_by_name: dict[str, int] = {}
    for row, record in enumerate(table, start=1):
        name = _text(path, row, record["name"])
        first = rows_by_name.setdefault("".join(name.split()).casefold(), row)
        if first != row:
            raise _malformed(path, row, "name", f"{name!r} is already in row {first}")
        values = {c: _number(path, row, c, record[c], factors[c]) for c in _NUMBERS}
        model = FluxModel.power_law(
            values["flux_jy"], values["reference_ghz"], values["spectral_index"], path.name
        )
        calibrator = Calibrator(name, (), values["ra_deg"], values["dec_deg"], model)
        try:
            calibrators.append(refuse_variable(calibrator))
        except ConfigurationError as error:
            if not skip_variable:
                raise _malformed(path, row, "name", error.message) from error
    return tuple(calibrators)


def _open(path: Path) -> Any:
    from astropy.table import Table

    if not path.is_file():
        raise ConfigurationError(f"calibrator list {path}: no such file", path=str(path))
    try:
        if path.suffix.lower() == ".ecsv":
            return Table.read(path, format="ascii.ecsv")
        # As text, so that a word in a numeric column is found with its row.
        return Table.read(path, format="ascii.csv", converters={"*": str}, comment="#")
    except Exception as error:  # astropy raises what its readers meet: ValueError, KeyError, ...
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(
            f"calibrator list {path} is no CSV or ECSV table: {reason}", path=str(path)
        ) from error


def _unit_factor(path: Path, table: Any, column: str, unit: str) -> float:
    from astropy.units import Unit, UnitConversionError

    stated = table[column].unit
    if stated is None:
        return 1.0
    try:
        return float(stated.to(Unit(unit)))
    except (UnitConversionError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"calibrator list {path}: column {column} is in {stated}, not in {unit or 'none'}",
            path=str(path),
        ) from error


def _text(path: Path, row: int, value: Any) -> str:
    text = str(value).strip()
    if not text or _is_masked(value):
        raise _malformed(path, row, "name", "it is empty")
    return text


def _number(path: Path, row: int, column: str, value: Any, factor: float) -> float:
    unit, low, high = _NUMBERS[column]
    if _is_masked(value) or not str(value).strip():
        raise _malformed(path, row, column, "it is empty, and there are no defaults")
    try:
        number = float(value) * factor
    except ValueError as error:
        raise _malformed(path, row, column, f"{value!s} is no number") from error
    positive = column not in ("flux_jy",) or number > 0
    if not math.isfinite(number) or not low <= number <= high or not positive:
        bounds = f"between {low:g} and {high:g} {unit}".rstrip()
        raise _malformed(path, row, column, f"{value!s} is not {bounds}")
    return number


def _is_masked(value: Any) -> bool:
    import numpy as np

    return value is np.ma.masked


def _malformed(path: Path, row: int, column: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"calibrator list {path}, row {row}, column {column}: {reason}",
        path=str(path),
        row=row,
        column=column,
    )
