"""Tables for downloads: Parquet and VOTable.

Belongs here: their columns with units, descriptions and UCDs. Doesn't: the JSON documents; the
paths of the tables.

Numbers have full precision here. Missing ones are null in Parquet and NaN in VOTable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.parquet import write_table
from contimg_resources.products.events import CandidateRecord, MarkRecord
from contimg_resources.variability.model import LightCurves

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class About:
    """Metadata of a column."""

    description: str  #: Description.
    unit: str = ""  #: Unit in VOUnits; empty if there is none.
    ucd: str = ""  #: Unified Content Descriptor; empty if none fits.
    utype: str = ""  #: Its name in a data model of the Virtual Observatory; empty if it has none.
    xtype: str = ""  #: What the text is, in the words of DALI; empty: nothing in particular.


_POSITION = {
    "ra_deg": About("Right ascension, ICRS", "deg", "pos.eq.ra;meta.main"),
    "dec_deg": About("Declination, ICRS", "deg", "pos.eq.dec;meta.main"),
}

#: Columns of the table of sources.
SOURCES = {
    "source_id": About("Id in the catalogue", ucd="meta.id;meta.main"),
    **_POSITION,
    "n_epochs": About("Points", ucd="meta.number;obs"),
    "mean_flux_mjy": About("Weighted mean", "mJy", "phot.flux.density;em.radio;stat.mean"),
    "median_snr": About("Median S/N of the measurements", ucd="stat.snr;stat.median"),
    "eta": About("Reduced chi2 about the mean", ucd="stat.fit.chi2;src.var"),
    "v": About("Standard deviation over mean", ucd="src.var.index"),
    "modulation_index": About("Debiased; negative: less scatter than errors", ucd="src.var.index"),
    "p_value": About("Probability of so large an eta if steady", ucd="stat.probability"),
    "pair_vs": About("t statistic of the most significant pair of epochs", ucd="src.var"),
    "pair_m": About("Modulation of that pair", ucd="src.var.index"),
    "intrinsic_probability": About("Probability of intrinsic variability", ucd="stat.probability"),
    "intrinsic_sigma": About(
        "Standard deviation of the random walk of ln S", ucd="src.var.amplitude"
    ),
    "intrinsic_sigma_error": About("Its error", ucd="stat.error;src.var.amplitude"),
    "intrinsic_sigma_low": About("Its 5 % quantile", ucd="src.var.amplitude;stat.min"),
    "intrinsic_sigma_high": About("Its 95 % quantile", ucd="src.var.amplitude;stat.max"),
    "intrinsic_tau_days": About("Time scale of the walk", "d", "time.scale;src.var"),
    "intrinsic_tau_error_days": About("Its error", "d", "stat.error;time.scale"),
    "intrinsic_tau_low_days": About(
        "Its 5 % quantile; missing: not constrained", "d", "time.scale;stat.min"
    ),
    "intrinsic_tau_high_days": About(
        "Its 95 % quantile; missing: not constrained", "d", "time.scale;stat.max"
    ),
    "intrinsic_jitter": About("Scatter of ln S beyond errors and walk", ucd="src.var.amplitude"),
    "is_variable": About("Flagged as variable in the plane of eta and V", ucd="meta.code"),
}

#: Columns of the table of measurements.
POINTS = {
    "source_id": About("Id in the catalogue"),
    "epoch": About("Partition key of the mosaic; empty for an added light curve"),
    "mid_mjd": About("Mid-time of the data, MJD, UTC", "d"),
    "flux_mjy": About("Flux density", "mJy"),
    "error_mjy": About("Its error", "mJy"),
    "integrated_mjy": About("Integrated flux density, of a source wider than the beam", "mJy"),
    "integrated_error_mjy": About("Its error", "mJy"),
    "flags": About("See docs/photometry.md"),
    "is_reference": About("Whether the source was used as a flux reference of the epoch"),
}

#: Columns of the table of candidates.
CANDIDATES = {
    "id": About("Permanent id of the candidate", ucd="meta.id;meta.main"),
    "kind": About("ese: a dip in a light curve; new source", ucd="meta.code.class"),
    "source_id": About("The source", ucd="meta.id"),
    **_POSITION,
    "added_list": About("List of added light curves; empty: measured here", ucd="meta.id.part"),
    "state": About("in progress, complete, recurring or withdrawn", ucd="meta.code.status"),
    "start_mjd": About("Half depth at ingress, or first detection, MJD, UTC", "d", "time.start"),
    "mid_mjd": About("Epoch of minimum, or of the peak, MJD, UTC", "d", "time.epoch"),
    "end_mjd": About("Half depth at egress, or last transit, MJD, UTC", "d", "time.end"),
    "score": About(
        "Rise of chi2 without the dip; of a new source: sigma above earlier epochs",
        ucd="stat.fit.chi2",
    ),
    "depth": About("Fraction of the baseline", ucd="phot.flux.density;arith.ratio"),
    "depth_error": About("Its error", ucd="stat.error;phot.flux.density;arith.ratio"),
    "width_days": About("Full width at half depth", "d", "time.duration"),
    "width_error_days": About("Its error", "d", "stat.error;time.duration"),
    "baseline_mjy": About("Baseline flux density", "mJy", "phot.flux.density;em.radio"),
    "mark": About("Latest mark by a person; empty if there is none", ucd="meta.code"),
    "note": About("Note by that person", ucd="meta.note"),
}


def write_sources_votable(place: Path, sources: dict[str, NDArray[Any]]) -> None:
    """Write the sources as VOTable."""
    _write_votable(place, "sources", SOURCES, sources)


def write_candidates_votable(
    place: Path, candidates: Sequence[CandidateRecord], marks: Sequence[MarkRecord]
) -> None:
    """Write the candidates as VOTable, with their current marks."""
    _write_votable(place, "candidates", CANDIDATES, candidate_columns(candidates, marks))


def candidate_columns(
    candidates: Sequence[CandidateRecord], marks: Sequence[MarkRecord]
) -> dict[str, NDArray[Any]]:
    """Return the columns of `CANDIDATES`, by epoch of minimum, with the current marks."""
    last = {m.candidate_id: m for m in marks}
    ordered = sorted(candidates, key=lambda c: (c.mid_mjd, c.id))
    rows = [_candidate_row(c, last.get(c.id)) for c in ordered]
    return {
        name: np.array([r[name] for r in rows], np.str_ if name in _TEXTS else np.float64)
        for name in CANDIDATES
    }


def write_sources_parquet(place: Path, sources: dict[str, NDArray[Any]]) -> None:
    """Write the sources as Parquet."""
    import pyarrow as pa

    _write_parquet(place, SOURCES, {name: pa.array(sources[name]) for name in SOURCES})


def write_points_parquet(place: Path, points: LightCurves) -> None:
    """Write all measurements of all light curves as Parquet, by source and time."""
    import pyarrow as pa

    number = np.repeat(np.arange(len(points), dtype=np.int32), np.diff(points.offsets))
    names = pa.array(points.source_id.tolist(), pa.string())
    values = {
        "source_id": pa.DictionaryArray.from_arrays(pa.array(number), names),
        "epoch": pa.array(points.epoch, pa.string()).dictionary_encode(),
        "mid_mjd": pa.array(points.mid_mjd),
        "flux_mjy": pa.array(1e3 * points.flux_jy),
        "error_mjy": pa.array(1e3 * points.error_jy),
        "integrated_mjy": pa.array(1e3 * points.integrated_jy),
        "integrated_error_mjy": pa.array(1e3 * points.integrated_error_jy),
        "flags": pa.array(points.flags.astype(np.int32)),
        "is_reference": pa.array(points.is_reference),
    }
    _write_parquet(place, POINTS, values)


_TIMES = ("time.start", "time.epoch", "time.end")
_TEXTS = ("id", "kind", "source_id", "added_list", "state", "mark", "note")


def _candidate_row(record: CandidateRecord, mark: MarkRecord | None) -> dict[str, Any]:
    told = record.parameters
    return {
        **{name: getattr(record, name) for name in CANDIDATES if hasattr(record, name)},
        "added_list": record.added_list or "",
        "kind": record.kind.value,
        "state": record.state.value,
        **{name: getattr(told, name) for name in CANDIDATES if hasattr(told, name)},
        "baseline_mjy": 1e3 * told.baseline_jy,
        "mark": mark.mark.value if mark else "",
        "note": mark.note if mark else "",
    }


def _write_parquet(place: Path, about: dict[str, About], values: dict[str, "pa.Array"]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays, fields = [], []
    for name, what in about.items():
        column = values[name]
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_finite(column), column, None)
        arrays.append(column)
        told = {"description": what.description, "unit": what.unit}
        fields.append(pa.field(name, column.type, metadata=told))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    write_table(place, table, compression_level=1)


def _write_votable(
    place: Path, name: str, about: dict[str, About], values: dict[str, NDArray[Any]]
) -> None:
    from astropy.io.votable import writeto

    writeto(as_votable(name, about, values), str(place), tabledata_format="binary2")


def as_votable(name: str, about: Mapping[str, About], values: Mapping[str, NDArray[Any]]) -> Any:
    """Return a VOTable (`astropy.io.votable.tree.VOTableFile`) of columns, each of shape (n,)."""
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import CooSys, TimeSys
    from astropy.table import Column, MaskedColumn, Table

    table = Table(
        [
            (MaskedColumn if np.ma.isMaskedArray(values[column]) else Column)(
                _plain(values[column]),
                name=column,
                unit=what.unit or None,
                description=what.description,
                meta={"ucd": what.ucd} if what.ucd else None,
            )
            for column, what in about.items()
        ]
    )
    votable = from_table(table, table_id=name)
    votable.version = "1.4"
    (resource,) = votable.resources
    resource.coordinate_systems.append(CooSys(ID="icrs", system="ICRS"))
    resource.time_systems.append(
        TimeSys(
            ID="utc",
            timeorigin="MJD-origin",
            timescale="UTC",
            refposition="TOPOCENTER",
            config={"version_1_4_or_later": True},
        )
    )
    for field, what in zip(resource.tables[0].fields, about.values(), strict=True):
        field.utype, field.xtype = what.utype or None, what.xtype or None
        # Cone searches need the names of the first generation.
        if what.ucd.lower().startswith(("pos.eq", "pos_eq")):
            field.ref = "icrs"
        if what.unit == "d" and what.ucd.partition(";")[0] in _TIMES:
            field.ref = "utc"
    return votable


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "U" and not values.dtype.itemsize:
        return values.astype("U1")
    # A number that isn't finite counts as missing.
    return np.where(np.isfinite(values), values, np.nan) if values.dtype.kind == "f" else values
