"""Stores as after years of observing, and the cost of their queries.

Belongs here: filling both stores in bulk with simulated observations and sets, prepending earlier
years to them, and timing queries. Doesn't: Dagster's part (see `.platform_years`), observations
that could be imaged.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.keys import partition_key
from contimg_resources.database import now_mjd
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.instrument.dsa110 import active_stations
from contimg_resources.observations.model import (
    Antenna,
    Observation,
    ObservedField,
    SpectralWindow,
)
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.epochs import MosaicQuality, MosaicRecord, MosaicState
from contimg_resources.products.model import Artefact, ArtefactKind, ImageRecord, ObservationState
from contimg_resources.products.rows import artefact_values, image_values, observation_values
from contimg_resources.products.tables import (
    artefacts,
    images,
    mosaics,
    observation_events,
    observations,
)
from contimg_resources.registry.model import NewCaltable, NewCaltableSet, SetStatus
from contimg_resources.registry.recording import insert_set
from contimg_resources.registry.tables import caltable_sets, caltables, set_events
from contimg_resources.settings import Settings
from contimg_resources.steps.mosaicking import open_mosaics
from contimg_resources.steps.workshop import Workshop

#: Days from one observation to the next.
_STEP_DAYS = 309.24 / 86_400
_SETS_A_DAY = 4
_STRIP_DEG = 16.3
_CHUNK = 1000
#: Events in the history of an observation that was imaged.
_EVENTS_EACH = 3
#: Products of an image that are kept for years.
_KEPT = (
    ArtefactKind.IMAGE,
    ArtefactKind.IMAGE_PBCOR,
    ArtefactKind.PRIMARY_BEAM,
    ArtefactKind.PNG,
    ArtefactKind.STATISTICS,
)
REPEATS = 15


@dataclass(frozen=True)
class Filled:
    """Contents of the filled stores."""

    keys: tuple[str, ...]  #: Partition keys of the observations, in the order of time.
    n_sets: int  #: Active caltable sets.


def fill_stores(workshop: Workshop, n_observations: int, n_sets: int) -> Filled:
    """Fill empty stores: every observation imaged with the set that is nearest to it.

    There is an observation every 309 seconds, the last a minute ago; there are four sets a day, of
    the present and the past.
    """
    end_mjd = now_mjd() - 0.001
    mids = [end_mjd - _STEP_DAYS * (n_observations - 1 - i) for i in range(n_observations)]
    template = _observation(workshop.settings.incoming_dir / "x.ms", mids[0])
    set_mids = [end_mjd - (n_sets - 1 - i) / _SETS_A_DAY for i in range(n_sets)]
    with workshop.registry.write() as connection:
        one_by_one = set_mids if connection.dialect.name == "sqlite" else set_mids[:1]
        for i, mid in enumerate(one_by_one):
            _insert_set(connection, template, i, mid)
        if len(one_by_one) < n_sets:
            _repeat_first_set(connection, n_sets)
    # The stores have no methods for bulk rows.
    for start in range(0, n_observations, _CHUNK):
        rows = _rows_of(workshop.settings, template, mids[start : start + _CHUNK], set_mids)
        with workshop.products.write() as connection:
            for table, values in rows.items():
                connection.execute(sa.insert(table), values)
    _fill_mosaics(workshop)
    return Filled(tuple(partition_key(mid) for mid in mids), n_sets)


def _fill_mosaics(workshop: Workshop) -> None:
    """Record every mosaic of the images as made."""
    for mosaic in open_mosaics(workshop):
        planned = mosaic.planned
        workshop.products.mosaics.put(
            MosaicRecord(
                key=mosaic.key,
                start_mjd=planned.start_mjd,
                mid_mjd=planned.mid_mjd,
                end_mjd=planned.end_mjd,
                declination_deg=planned.declination_deg,
                state=MosaicState.MADE,
                reason="",
                tiles=mosaic.tiles,
                directory=workshop.settings.layout.mosaic_dir(mosaic.key, planned.mid_mjd),
                checksum="sha256:" + "0" * 64,
                statistics=MosaicQuality(rms_mjy=0.2, n_tiles=len(mosaic.tiles)),
            )
        )


def prepend(workshop: Workshop, first: Filled, blocks: range) -> None:
    """Copy the rows of filled stores in Postgres to earlier times, one block before the other.

    The registry has the sets of these times already. Of each observation the image's products are
    copied, as the calibrated MS of earlier years are removed. Columns that are read only for single
    observations or mosaics (`observation`, `tiles`) are copied as they are.
    """
    columns = {
        observations: {"path", "start_mjd", "mid_mjd", "end_mjd", "updated_mjd"},
        observation_events: {"at_mjd"},
        artefacts: {"path", "created_mjd", "set_name"},
        images: set[str](),
        mosaics: {"start_mjd", "mid_mjd", "end_mjd", "created_mjd", "directory"},
    }
    earliest = first.keys[0]
    event = observation_events.c
    n_events = workshop.products.all(
        sa.select(sa.func.count()).where(event.key >= earliest), lambda row: int(row[0])
    )[0]
    for block in blocks:
        shift_days = block * block_days(first)
        with workshop.products.write() as connection:
            # The rows that they refer to are copied as well.
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            for table, moved in columns.items():
                names = [c.name for c in table.columns]
                values = [
                    f"id - {block * n_events}"
                    if name == "id"
                    else _earlier(name, name in moved, shift_days, table is mosaics)
                    for name in names
                ]
                limit = (
                    f"kind IN ({', '.join(repr(k.value) for k in _KEPT)}) AND"
                    if table is artefacts
                    else ""
                )
                connection.execute(
                    sa.text(
                        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)} "
                        f"FROM {table.name} WHERE {limit} key >= :earliest"
                    ),
                    {"earliest": earliest},
                )
    for table in columns:
        _vacuum(workshop, table)


def leave_ids(workshop: Workshop, n_observations: int) -> None:
    """Leave ids for the events of earlier observations, in an empty store in Postgres.

    Sensors take events with the latest ids for new ones.
    """
    with workshop.products.write() as connection:
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence('observation_events', 'id'), :last)"),
            {"last": max(1, _EVENTS_EACH * n_observations)},
        )


def block_days(first: Filled) -> int:
    """Return the length of a block of `prepend`, whole days."""
    return math.ceil(len(first.keys) * _STEP_DAYS) + 1


def _earlier(column: str, moved: bool, shift_days: int, of_mosaic: bool) -> str:
    """Return the SQL expression of a column's value in an earlier block."""
    key = f"to_char(left(key, 11)::numeric - {shift_days}, 'FM00000.00000')"
    if column == "key":
        return f"{key} || substr(key, 12)" if of_mosaic else key
    if not moved:
        return column
    if column in ("path", "directory"):
        return f"replace({column}, left(key, 11), {key})"
    if column == "set_name":
        return f"'3C48_' || (substr(set_name, 6)::int - {shift_days * _SETS_A_DAY})"
    return f"{column} - {shift_days}"


def _vacuum(workshop: Workshop, table: sa.Table) -> None:
    """Do what Postgres does by itself after some minutes."""
    engine = sa.create_engine(workshop.settings.products_address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"VACUUM ANALYZE {table.name}"))
    engine.dispose()


def timed(question: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of a query, seconds."""
    took = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        question()
        took.append(time.perf_counter() - began_s)
    return median(took)


def _observation(path: Path, mid_mjd: float) -> Observation:
    half_days = _STEP_DAYS / 2
    names = [station.name for station in active_stations()]
    return Observation(
        path=path,
        telescope="OVRO_MMA",
        start_mjd=mid_mjd - half_days,
        end_mjd=mid_mjd + half_days,
        mid_mjd=mid_mjd,
        fields=tuple(
            ObservedField(i, f"meridian_icrs_t{i}", 10.0 + i / 18.6, _STRIP_DEG, mid_mjd)
            for i in range(24)
        ),
        declination_deg=_STRIP_DEG,
        antennas=tuple(Antenna(i, name, True, 0.1) for i, name in enumerate(names)),
        spectral_windows=tuple(
            SpectralWindow(i, 1.311e9 + 1.17e7 * i, 1.322e9 + 1.17e7 * i, 244_140.625, 48)
            for i in range(16)
        ),
        correlations=("XX", "YY"),
        integration_s=12.884902,
        n_integrations=24,
        n_rows=1_787_904,
        flagged_fraction=0.1,
        calibrators=(),
        signature="s",
    )


def _insert_set(
    connection: sa.Connection, template: Observation, number: int, mid_mjd: float
) -> None:
    tables = tuple(
        NewCaltable(kind, Path(f"/caltables/{number}/{kind.suffix}")) for kind in CaltableType
    )
    new = NewCaltableSet(
        name=f"3C48_{number}",
        calibrator="3C48",
        refant="104",
        mid_mjd=mid_mjd,
        start_mjd=mid_mjd - 1.0,
        end_mjd=mid_mjd + 1.0,
        declination_deg=_STRIP_DEG,
        layout=template.layout,
        tables=tables,
    )
    checksums = {t.path: f"sha256:{number:064d}" for t in tables}
    insert_set(connection, new, template.layout, checksums, SetStatus.ACTIVE, ())


def _repeat_first_set(connection: sa.Connection, n_sets: int) -> None:
    """Make all other sets from the first one, in Postgres: thousands of them in a second."""
    days = f"n / {_SETS_A_DAY}.0"
    changed = {
        "id": "id + n",
        "name": "'3C48_' || n",
        **{name: f"{name} + {days}" for name in ("mid_mjd", "start_mjd", "end_mjd")},
        "set_id": "set_id + n",
        "path": "replace(path, '/0/', '/' || n || '/')",
    }
    for table in (caltable_sets, caltables, set_events):
        names = [c.name for c in table.columns if not (table is set_events and c.name == "id")]
        values = [changed.get(name, f'"{name}"') for name in names]
        quoted = ", ".join(f'"{name}"' for name in names)
        connection.execute(
            sa.text(
                f"INSERT INTO {table.name} ({quoted}) SELECT {', '.join(values)} "
                f"FROM {table.name}, generate_series(1, :last) AS n"
            ),
            {"last": n_sets - 1},
        )
    connection.execute(
        sa.text("SELECT setval(pg_get_serial_sequence('caltable_sets', 'id'), :last)"),
        {"last": n_sets},
    )


def _rows_of(
    settings: Settings, template: Observation, mids: list[float], set_mids: list[float]
) -> dict[sa.Table, list[dict[str, Any]]]:
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        table: [] for table in (observations, observation_events, artefacts, images)
    }
    for mid in mids:
        key = partition_key(mid)
        path = settings.incoming_dir / f"{key}.ms"
        half_days = _STEP_DAYS / 2
        known = replace(
            template,
            path=path,
            mid_mjd=mid,
            start_mjd=mid - half_days,
            end_mjd=mid + half_days,
            signature=_made_ms(path),
        )
        nearest = _nearest(set_mids, mid)
        rows[observations].append(
            {
                **observation_values(known, path),
                "key": key,
                "state": ObservationState.IMAGED.value,
                "step": "image_5min",
                "reason": "",
                "updated_mjd": mid,
            }
        )
        rows[observation_events] += [
            {
                "key": key,
                "at_mjd": mid,
                "state": state.value,
                "step": step,
                "message": "",
                "run_id": "r",
            }
            for state, step in (
                (ObservationState.ARRIVED, "arrival"),
                (ObservationState.CALIBRATED, "calibrated_ms"),
                (ObservationState.IMAGED, "image_5min"),
            )
        ]
        rows[artefacts] += [
            artefact_values(
                key,
                Artefact(
                    kind,
                    settings.layout.image_dir(key) / kind.value,
                    checksum="sha256:" + "0" * 64,
                    size_bytes=23_000_000,
                    set_name=f"3C48_{nearest}",
                    set_version=1,
                    parameters={"robust": 0.5, "tables": ["x" * 80] * 6},
                    software={"casatasks": "6.7.0.31", "contimg": "0.1.0"},
                    run_id="r",
                ),
                mid,
            )
            for kind in ArtefactKind
        ]
        rows[images].append(image_values(key, ImageRecord(rms_mjy=0.6, expected_rms_mjy=0.57)))
    return rows


def _made_ms(path: Path) -> str:
    """Make a mock MS, a directory with a file in it, and return its signature."""
    path.mkdir()
    (path / "table.dat").write_bytes(b"rows")
    return content_signature(path).digest


def _nearest(set_mids: list[float], mid: float) -> int:
    """Return the set nearest to a time; the sets are evenly spaced and extend past it."""
    place = int((mid - set_mids[0]) * _SETS_A_DAY)
    around = range(max(0, place - 1), min(len(set_mids), place + 3))
    return min(around, key=lambda i: (abs(set_mids[i] - mid), -i))


def chunks(keys: tuple[str, ...], size: int = _CHUNK) -> Iterator[list[str]]:
    """Yield keys in chunks."""
    for start in range(0, len(keys), size):
        yield list(keys[start : start + size])
