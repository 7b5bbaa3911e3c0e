"""Variability metrics and structure functions as Parquet: a file of each for a UTC day.

Belongs here: writing and reading them. Doesn't: computing.
"""

from dataclasses import asdict
from pathlib import Path

from contimg_resources.core.keys import day_name, is_day_name, parse_day_name
from contimg_resources.core.naming import check_name
from contimg_resources.core.parquet import ParquetFormat, arrays_of
from contimg_resources.database import plain_json
from contimg_resources.database.values import read_json
from contimg_resources.variability.model import (
    INTRINSIC,
    Structure,
    Variability,
    VariabilityFacts,
)

#: The columns are the fields of `Variability`.
_FORMAT = ParquetFormat(
    lack="holds no variability metrics",
    version=2,
    columns={
        "source_id": ("string", "stable name, as in the catalogue"),
        "ra_deg": ("double", "catalogue position, ICRS, degrees"),
        "dec_deg": ("double", "catalogue position, ICRS, degrees"),
        "n_epochs": ("int64", "number of measurements"),
        "mean_flux_jy": ("double", "weighted mean, Jy"),
        "median_snr": ("double", "median S/N of the measurements"),
        "eta": ("double", "reduced chi2 about the weighted mean"),
        "v": ("double", "standard deviation over mean"),
        "modulation_index": ("double", "debiased; negative: less scatter than errors"),
        "p_value": ("double", "probability of so large an eta for a steady source"),
        "pair_vs": ("double", "t statistic of the most significant pair of epochs"),
        "pair_m": ("double", "modulation of that pair"),
        "pair_first_mjd": ("double", "time of its first epoch, MJD in days, UTC"),
        "pair_second_mjd": ("double", "time of its second epoch, MJD in days, UTC"),
        "is_reference": ("bool", "whether it was a flux reference in most of its epochs"),
        "is_pair_variable": ("bool", "whether it is variable by that pair"),
        "is_variable": ("bool", "whether it is flagged as variable in the plane of eta and V"),
        "intrinsic_probability": ("double", "probability that it varies as a damped random walk"),
        "intrinsic_sigma": ("double", "standard deviation of the walk of ln S: posterior mean"),
        "intrinsic_sigma_error": ("double", "its posterior standard deviation"),
        "intrinsic_sigma_low": ("double", "its 5 % quantile"),
        "intrinsic_sigma_high": ("double", "its 95 % quantile"),
        "intrinsic_tau_days": ("double", "time scale of the walk, days; null: probably steady"),
        "intrinsic_tau_error_days": ("double", "its error, days"),
        "intrinsic_tau_low_days": ("double", "its 5 % quantile, days; null: not constrained"),
        "intrinsic_tau_high_days": ("double", "its 95 % quantile, days; null: not constrained"),
        "intrinsic_jitter": ("double", "scatter of ln S beyond the errors: posterior mean"),
    },
    later=INTRINSIC,
)
_STRUCTURE = ParquetFormat(
    lack="holds no structure functions",
    version=1,
    columns={
        "source_id": ("string", "stable name, as in the catalogue"),
        "lag_days": ("double", "mean lag of the pairs, days"),
        "structure": ("double", "mean squared difference of ln S, less that of the errors"),
        "structure_error": ("double", "its error"),
        "model": ("double", "that of the damped random walk and the jitter"),
        "n_pairs": ("int64", "number of pairs of measurements"),
    },
)


def variability_path(root: Path, day_mjd: int) -> Path:
    """Return the file of a day."""
    return root / f"{day_name(day_mjd)}.parquet"


def added_variability_path(root: Path, name: str) -> Path:
    """Return the file with the metrics of a list of added light curves."""
    return root / "added" / f"{check_name(name, 'name of a list')}.parquet"


def structure_path(variability: Path) -> Path:
    """Return the file of the structure functions that belong to a file of metrics."""
    return variability.parent / "structure" / variability.name


def write_variability(path: Path, table: Variability, structure: Structure) -> Path:
    """Write the metrics and the structure functions, each file whole or not at all.

    Returned is the file of the structure functions.
    """
    beside = structure_path(path)
    _STRUCTURE.write(beside, structure._asdict(), {})
    values = {name: getattr(table, name) for name in _FORMAT.columns}
    _FORMAT.write(path, values, {"facts": plain_json(asdict(table.facts))})
    return beside


def read_variability(path: Path) -> Variability:
    """Read the metrics of a day.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    table, told = _FORMAT.read(path)
    with _FORMAT.refusing(path):
        return Variability(**arrays_of(table), facts=read_json(VariabilityFacts, told["facts"]))


def read_structure(variability: Path) -> Structure:
    """Read the structure functions that belong to a file of metrics; none of an earlier release.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    path = structure_path(variability)
    if not path.is_file():
        return Structure.empty()
    table, _ = _STRUCTURE.read(path)
    with _STRUCTURE.refusing(path):
        return Structure(**arrays_of(table))


def latest_variability(root: Path) -> Path | None:
    """Return the file of the last day; None if there is none."""
    days = [parse_day_name(p.stem) for p in root.glob("*.parquet") if is_day_name(p.stem)]
    return variability_path(root, max(days)) if days else None
