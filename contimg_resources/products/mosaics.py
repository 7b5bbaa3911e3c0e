"""Mosaics and epochs of measurements in the products store.

Belongs here: recording and querying them. Doesn't: observations (see `store`), planning mosaics,
deleting files.
"""

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import ValidationError

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import Database, now_mjd, plain_json
from contimg_resources.database.values import read_json
from contimg_resources.products.epochs import (
    EpochKind,
    EpochQuality,
    EpochRecord,
    MosaicQuality,
    MosaicRecord,
    MosaicState,
    TileSource,
)
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.products.tables import (
    artefacts,
    epochs,
    mosaics,
    observation_events,
    observations,
)

Q = TypeVar("Q", MosaicQuality, EpochQuality)

_NEAR = 3
_IN_PROGRESS = (
    ObservationState.ARRIVED.value,
    ObservationState.SOLVED.value,
    ObservationState.CALIBRATED.value,
    ObservationState.INTERRUPTED.value,
)


class MosaicProducts:
    """The mosaics and epochs of the products store.

    Parameters
    ----------
    database : Database
        The store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, mosaic: MosaicRecord) -> MosaicRecord:
        """Record a mosaic, replacing the record of the same key."""
        values = _values(mosaic, {"directory": str(mosaic.directory.absolute())})
        with self._database.write() as connection:
            _replace(connection, mosaics, values, ("key",))
        return self.get(mosaic.key)

    def get(self, key: str) -> MosaicRecord:
        """Return the record of a mosaic.

        Raises
        ------
        ProductsError
            Naming the latest mosaics, if none has this key.
        """
        with self._database.read() as connection:
            row = connection.execute(sa.select(mosaics).where(mosaics.c.key == key)).first()
            if row is not None:
                return _as_mosaic(row)
            near = connection.scalars(
                sa.select(mosaics.c.key).order_by(mosaics.c.mid_mjd.desc()).limit(_NEAR)
            ).all()
        raise ProductsError(
            f"there is no mosaic {key} in {self._database.address}; "
            + (f"the latest: {', '.join(near)}" if near else "it holds none"),
            key=key,
            near=list(near),
        )

    def find(self, key: str) -> MosaicRecord | None:
        """Return the record of a mosaic; None if there is none."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(mosaics).where(mosaics.c.key == key)).first()
        return None if row is None else _as_mosaic(row)

    def list(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> tuple[MosaicRecord, ...]:
        """Return the mosaics with mid-time in [start, end), MJD in days, in order of time."""
        query = sa.select(mosaics).order_by(mosaics.c.mid_mjd, mosaics.c.key)
        query = _between(query, mosaics.c.mid_mjd, start_mjd, end_mjd)
        with self._database.read() as connection:
            return tuple(_as_mosaic(row) for row in connection.execute(query))

    def find_by_directory(self, directory: Path) -> MosaicRecord | None:
        """Return the mosaic whose files are in a directory; None if there is none."""
        query = sa.select(mosaics).where(mosaics.c.directory == str(directory.absolute()))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _as_mosaic(row)

    def find_epoch_by_path(self, path: Path) -> EpochRecord | None:
        """Return the epoch whose measurements are in a file; None if there is none."""
        query = sa.select(epochs).where(epochs.c.path == str(path.absolute()))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _as_epoch(row)

    def tiles(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> dict[str, dict[str, str]]:
        """Return the tiles of mosaics: image checksums by observation, by mosaic key."""
        query = sa.select(mosaics.c.key, mosaics.c.tiles)
        query = _between(query, mosaics.c.mid_mjd, start_mjd, end_mjd)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.key: row.tiles for row in rows}

    def checksums(self) -> dict[str, tuple[str, MosaicState]]:
        """Return the checksum and the state of every mosaic, by key."""
        query = sa.select(mosaics.c.key, mosaics.c.checksum, mosaics.c.state)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.key: (row.checksum, MosaicState(row.state)) for row in rows}

    def epoch_checksums(self, kind: EpochKind) -> dict[str, tuple[str, str]]:
        """Return the checksums of every epoch's measurements and of its image, by epoch."""
        columns = epochs.c
        query = sa.select(columns.epoch, columns.checksum, columns.measured_from)
        with self._database.read() as connection:
            rows = connection.execute(query.where(columns.kind == kind.value)).all()
        return {row.epoch: (row.checksum, row.measured_from) for row in rows}

    def changed_spans(self, after_mjd: float, reach_days: float) -> tuple[tuple[float, float], ...]:
        """Return spans around observations whose state was set after an MJD, MJD in days.

        Parameters
        ----------
        after_mjd : float
            MJD in days.
        reach_days : float
            The spans extend this far from the observations, and are joined where they overlap.

        Returns
        -------
        tuple of (float, float)
            Starts and ends, in order of time.
        """
        mid = observations.c.mid_mjd
        query = (
            sa.select(sa.func.min(mid), sa.func.max(mid))
            .where(observations.c.updated_mjd > after_mjd)
            # Few, however many observations changed.
            .group_by(sa.cast(mid, sa.Integer))
        )
        with self._database.read() as connection:
            days = sorted((first, last) for first, last in connection.execute(query))
        spans: list[tuple[float, float]] = []
        for first, last in days:
            start_mjd, end_mjd = first - reach_days, last + reach_days
            if spans and start_mjd <= spans[-1][1]:
                start_mjd, _ = spans.pop()
            spans.append((start_mjd, end_mjd))
        return tuple(spans)

    def tile_sources(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> tuple[TileSource, ...]:
        """Return the observations in [start, end), MJD in days, with their images, by time."""
        image = artefacts.alias("image")
        query = (
            sa.select(
                observations.c.key,
                observations.c.mid_mjd,
                observations.c.declination_deg,
                observations.c.state,
                observations.c.updated_mjd,
                image.c.checksum,
            )
            .outerjoin(
                image,
                sa.and_(
                    image.c.key == observations.c.key,
                    image.c.kind == ArtefactKind.IMAGE_PBCOR.value,
                ),
            )
            .where(observations.c.superseded_by == "")
            .order_by(observations.c.mid_mjd)
        )
        query = _between(query, observations.c.mid_mjd, start_mjd, end_mjd)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            TileSource(
                key=row.key,
                mid_mjd=row.mid_mjd,
                declination_deg=row.declination_deg,
                in_progress=row.state in _IN_PROGRESS,
                waits=row.state == ObservationState.WAITING.value,
                # An image that failed its checks is no tile.
                checksum=(
                    (row.checksum or "") if row.state == ObservationState.IMAGED.value else ""
                ),
                updated_mjd=row.updated_mjd,
            )
            for row in rows
        )

    def arrivals(self, start_mjd: float, end_mjd: float) -> dict[str, float]:
        """Return when observations in [start, end) arrived, MJD in days, by partition key."""
        query = (
            sa.select(
                observations.c.key, sa.func.min(observation_events.c.at_mjd).label("arrived_mjd")
            )
            .join(observation_events, observation_events.c.key == observations.c.key)
            .group_by(observations.c.key)
        )
        query = _between(query, observations.c.mid_mjd, start_mjd, end_mjd)
        with self._database.read() as connection:
            return {row.key: row.arrived_mjd for row in connection.execute(query)}

    def put_epoch(self, epoch: EpochRecord) -> EpochRecord:
        """Record an epoch of measurements, replacing the record of the same epoch."""
        values = _values(epoch, {"path": str(epoch.path.absolute()), "kind": epoch.kind.value})
        with self._database.write() as connection:
            _replace(connection, epochs, values, ("epoch", "kind"))
        found = self.find_epoch(epoch.epoch, epoch.kind)
        assert found is not None
        return found

    def find_epoch(self, epoch: str, kind: EpochKind) -> EpochRecord | None:
        """Return the record of an epoch of measurements; None if there is none."""
        query = sa.select(epochs).where(epochs.c.epoch == epoch, epochs.c.kind == kind.value)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _as_epoch(row)

    def list_epochs(
        self,
        kind: EpochKind | None = None,
        *,
        start_mjd: float | None = None,
        end_mjd: float | None = None,
    ) -> tuple[EpochRecord, ...]:
        """Return the epochs with mid-time in [start, end), MJD in days, in order of time."""
        query = sa.select(epochs).order_by(epochs.c.mid_mjd, epochs.c.epoch)
        if kind is not None:
            query = query.where(epochs.c.kind == kind.value)
        query = _between(query, epochs.c.mid_mjd, start_mjd, end_mjd)
        with self._database.read() as connection:
            return tuple(_as_epoch(row) for row in connection.execute(query))


def _between(
    query: sa.Select[Any],
    column: sa.ColumnElement[float],
    start_mjd: float | None,
    end_mjd: float | None,
) -> sa.Select[Any]:
    if start_mjd is not None:
        query = query.where(column >= start_mjd)
    if end_mjd is not None:
        query = query.where(column < end_mjd)
    return query


def _values(record: MosaicRecord | EpochRecord, changed: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = plain_json({**asdict(record), **changed})
    return {**values, "created_mjd": now_mjd()}


def _replace(
    connection: sa.Connection, table: sa.Table, values: dict[str, Any], key: Iterable[str]
) -> None:
    connection.execute(sa.delete(table).where(*(table.c[name] == values[name] for name in key)))
    connection.execute(sa.insert(table).values(**values))


def _as_mosaic(row: Any) -> MosaicRecord:
    values = {f.name: getattr(row, f.name) for f in fields(MosaicRecord)}
    values |= {
        "state": MosaicState(row.state),
        "directory": Path(row.directory),
        "statistics": _quality(MosaicQuality, row.statistics, f"mosaic {row.key}"),
    }
    return MosaicRecord(**values)


def _as_epoch(row: Any) -> EpochRecord:
    values = {f.name: getattr(row, f.name) for f in fields(EpochRecord)}
    values |= {
        "kind": EpochKind(row.kind),
        "path": Path(row.path),
        "statistics": _quality(EpochQuality, row.statistics, f"epoch {row.epoch}"),
    }
    return EpochRecord(**values)


def _quality(of: type[Q], stored: Any, whose: str) -> Q:
    try:
        return read_json(of, stored)
    except ValidationError as error:
        raise ProductsError(
            f"{whose} in the products store is damaged: {error.errors()[0]['msg']}"
        ) from error
