"""Mosaics and epochs of measurements in the products store.

Belongs here: recording and querying them. Doesn't: observations (see `store`), planning mosaics,
deleting files.
"""

from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.database.records import between, replace_row, values_of
from contimg_resources.products.epochs import (
    EpochKind,
    EpochRecord,
    MosaicRecord,
    MosaicState,
    TileSource,
)
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.products.rows import EPOCHS, MOSAICS
from contimg_resources.products.tables import (
    artefacts,
    epochs,
    mosaics,
    observation_events,
    observations,
)

_NEAR = 3
_IN_PROGRESS = (
    ObservationState.ARRIVED,
    ObservationState.SOLVED,
    ObservationState.CALIBRATED,
    ObservationState.INTERRUPTED,
)


class MosaicProducts(PartOfStore):
    """The mosaics and epochs of the products store."""

    def put(self, mosaic: MosaicRecord) -> MosaicRecord:
        """Record a mosaic, replacing the record of the same key."""
        with self._database.write() as connection:
            replace_row(connection, mosaics, values_of(mosaic, created_mjd=now_mjd()))
        return self.get(mosaic.key)

    def get(self, key: str) -> MosaicRecord:
        """Return the record of a mosaic.

        Raises
        ------
        ProductsError
            Naming the latest mosaics, if none has this key.
        """
        if (found := self.find(key)) is not None:
            return found
        latest = sa.select(mosaics.c.key).order_by(mosaics.c.mid_mjd.desc()).limit(_NEAR)
        near = self._database.all(latest, lambda row: row.key)
        raise ProductsError(
            f"there is no mosaic {key} in {self._database.address}; "
            + (f"the latest: {', '.join(near)}" if near else "it holds none"),
            key=key,
            near=near,
        )

    def find(self, key: str) -> MosaicRecord | None:
        """Return the record of a mosaic; None if there is none."""
        return self._database.first(MOSAICS.query.where(mosaics.c.key == key), MOSAICS.read)

    def list(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> tuple[MosaicRecord, ...]:
        """Return the mosaics with mid-time in [start, end), MJD in days, in order of time."""
        mid = mosaics.c.mid_mjd
        query = between(MOSAICS.query.order_by(mid, mosaics.c.key), mid, start_mjd, end_mjd)
        return tuple(self._database.all(query, MOSAICS.read))

    def find_by_directory(self, directory: Path) -> MosaicRecord | None:
        """Return the mosaic whose files are in a directory; None if there is none."""
        query = MOSAICS.query.where(mosaics.c.directory == directory)
        return self._database.first(query, MOSAICS.read)

    def find_epoch_by_path(self, path: Path) -> EpochRecord | None:
        """Return the epoch whose measurements are in a file; None if there is none."""
        return self._database.first(EPOCHS.query.where(epochs.c.path == path), EPOCHS.read)

    def tiles(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> dict[str, dict[str, str]]:
        """Return the tiles of mosaics: image checksums by observation, by mosaic key."""
        query = sa.select(mosaics.c.key, mosaics.c.tiles)
        query = between(query, mosaics.c.mid_mjd, start_mjd, end_mjd)
        return dict(self._database.all(query, tuple))

    def checksums(self) -> dict[str, tuple[str, MosaicState]]:
        """Return the checksum and the state of every mosaic, by key."""
        query = sa.select(mosaics.c.key, mosaics.c.checksum, mosaics.c.state)
        return {key: (checksum, state) for key, checksum, state in self._database.all(query, tuple)}

    def epoch_checksums(self, kind: EpochKind) -> dict[str, tuple[str, str]]:
        """Return the checksums of every epoch's measurements and of its image, by epoch."""
        columns = epochs.c
        query = sa.select(columns.epoch, columns.checksum, columns.measured_from)
        found = self._database.all(query.where(columns.kind == kind), tuple)
        return {epoch: (checksum, measured_from) for epoch, checksum, measured_from in found}

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
        days = sorted(self._database.all(query, tuple))
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
                    image.c.kind == ArtefactKind.IMAGE_PBCOR,
                ),
            )
            .where(observations.c.superseded_by == "")
            .order_by(observations.c.mid_mjd)
        )
        query = between(query, observations.c.mid_mjd, start_mjd, end_mjd)
        return tuple(
            TileSource(
                key=row.key,
                mid_mjd=row.mid_mjd,
                declination_deg=row.declination_deg,
                in_progress=row.state in _IN_PROGRESS,
                waits=row.state is ObservationState.WAITING,
                # An image that failed its checks is no tile.
                checksum=(row.checksum or "") if row.state is ObservationState.IMAGED else "",
                updated_mjd=row.updated_mjd,
            )
            for row in self._database.all(query, lambda row: row)
        )

    def arrivals(self, start_mjd: float, end_mjd: float) -> dict[str, float]:
        """Return when observations in [start, end) arrived, MJD in days, by partition key."""
        query = (
            sa.select(observations.c.key, sa.func.min(observation_events.c.at_mjd))
            .join(observation_events, observation_events.c.key == observations.c.key)
            .group_by(observations.c.key)
        )
        query = between(query, observations.c.mid_mjd, start_mjd, end_mjd)
        return dict(self._database.all(query, tuple))

    def put_epoch(self, epoch: EpochRecord) -> EpochRecord:
        """Record an epoch of measurements, replacing the record of the same epoch."""
        with self._database.write() as connection:
            replace_row(connection, epochs, values_of(epoch, created_mjd=now_mjd()))
        found = self.find_epoch(epoch.epoch, epoch.kind)
        assert found is not None
        return found

    def find_epoch(self, epoch: str, kind: EpochKind) -> EpochRecord | None:
        """Return the record of an epoch of measurements; None if there is none."""
        query = EPOCHS.query.where(epochs.c.epoch == epoch, epochs.c.kind == kind)
        return self._database.first(query, EPOCHS.read)

    def list_epochs(
        self,
        kind: EpochKind | None = None,
        *,
        start_mjd: float | None = None,
        end_mjd: float | None = None,
    ) -> tuple[EpochRecord, ...]:
        """Return the epochs with mid-time in [start, end), MJD in days, in order of time."""
        mid = epochs.c.mid_mjd
        query = between(EPOCHS.query.order_by(mid, epochs.c.epoch), mid, start_mjd, end_mjd)
        if kind is not None:
            query = query.where(epochs.c.kind == kind)
        return tuple(self._database.all(query, EPOCHS.read))
