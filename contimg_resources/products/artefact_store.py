"""Artefacts and image statistics in the products store.

Belongs here: recording and querying the products of each observation. Doesn't: observations and
their states (see `store`), products made from several (see `derived`), deleting files.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.core.keys import parse_partition_key
from contimg_resources.database import Database
from contimg_resources.database.records import between
from contimg_resources.products.model import (
    AppliedSet,
    Artefact,
    ArtefactKind,
    ImageNoise,
    ImageRecord,
    Made,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.recording import (
    add_event,
    files_of,
    find_record,
    paths_of,
    product_rows,
    replace_products,
)
from contimg_resources.products.rows import ARTEFACTS, IMAGES
from contimg_resources.products.tables import artefacts, images, mosaics, observations

_NEAR = 3


class ArtefactStore(Database):
    """The products of single observations, in the database of the products store."""

    def put_artefacts(
        self,
        key: str,
        made: Sequence[Artefact],
        *,
        image: ImageRecord | None = None,
        instead_of: Sequence[ArtefactKind] = (),
    ) -> list[Path]:
        """Record products of an observation, replacing those of the same kind and version.

        Parameters
        ----------
        key : str
            Partition key of the observation.
        made : sequence of Artefact
            All artefacts of the step: recorded together, or not at all.
        image : ImageRecord, optional
            Statistics of the image among them.
        instead_of : sequence of ArtefactKind
            Kinds of which every earlier version is replaced.

        Returns
        -------
        list of Path
            Paths that no artefact of this observation uses any more: the caller may delete them.
        """
        rows, numbers = product_rows(key, made, image)
        with self.write() as connection:
            self._found(connection, key)
            before = paths_of(connection, key)
            old = artefacts.c.kind.in_([str(kind) for kind in instead_of])
            connection.execute(sa.delete(artefacts).where(artefacts.c.key == key, old))
            replace_products(connection, rows, numbers)
            return sorted(before - paths_of(connection, key))

    def artefacts(self, key: str) -> list[Artefact]:
        """Return the products of an observation, by kind and version."""
        columns = artefacts.c
        query = ARTEFACTS.query.where(columns.key == key).order_by(columns.kind, columns.version)
        with self.read() as connection:
            self._found(connection, key)
            return [ARTEFACTS.read(row) for row in connection.execute(query)]

    def made_before(self, created_mjd: float, kinds: Sequence[ArtefactKind]) -> list[Made]:
        """Return the artefacts of some kinds that were made before a time, oldest first.

        Parameters
        ----------
        created_mjd : float
            The time, MJD in days.
        kinds : sequence of ArtefactKind
            The kinds.
        """
        columns = artefacts.c
        # Its own columns come first.
        query = (
            ARTEFACTS.query.add_columns(observations.c.path, columns.key, observations.c.state)
            .join(observations)
            .where(columns.created_mjd < created_mjd, columns.kind.in_(list(kinds)))
            .order_by(columns.created_mjd, columns.key)
        )
        with self.read() as connection:
            return [
                Made(
                    key,
                    ARTEFACTS.read(artefact),
                    state,
                    tuple(f.path for f in files_of(connection, key)) or (ms,),
                )
                for *artefact, ms, key, state in connection.execute(query).all()
            ]

    def list_images(self) -> list[tuple[str, Artefact]]:
        """Return all images with the keys of their observations, by key: files, no parameters."""
        columns = artefacts.c
        wanted = (columns.kind, columns.path, columns.checksum, columns.size_bytes)
        query = sa.select(columns.key, *wanted).where(
            columns.kind.in_([ArtefactKind.IMAGE, ArtefactKind.IMAGE_PBCOR])
        )
        return self.all(
            query.order_by(columns.key, columns.kind),
            lambda row: (
                row.key,
                Artefact(row.kind, row.path, checksum=row.checksum, size_bytes=row.size_bytes),
            ),
        )

    def image_stamp(self) -> tuple[float | None, ...]:
        """Return numbers that change whenever observations, their products or mosaics do."""
        columns = (observations.c.updated_mjd, artefacts.c.created_mjd, mosaics.c.created_mjd)
        parts = [
            sa.select(value).scalar_subquery()
            for column in columns
            for value in (sa.func.count(column), sa.func.max(column))
        ]
        return self.all(sa.select(*parts), tuple)[0]

    def known_paths(self, kind: ArtefactKind) -> frozenset[Path]:
        """Return the paths of all artefacts of a kind."""
        query = sa.select(artefacts.c.path).where(artefacts.c.kind == kind)
        return frozenset(self.all(query, lambda row: row.path))

    def forget_artefact(self, key: str, made: Artefact, *, step: str, reason: str) -> bool:
        """Delete the record of an artefact before its files; the history records the reason.

        Parameters
        ----------
        key : str
            Partition key of its observation.
        made : Artefact
            The artefact, as it was when its removal was decided.
        step : str
            The step that removes it.
        reason : str
            Why it is removed.

        Returns
        -------
        bool
            False if it was remade since, or is gone: then nothing changes.
        """
        columns = artefacts.c
        same = (
            columns.key == key,
            columns.kind == made.kind,
            columns.version == made.version,
            columns.path == made.path,
            columns.created_mjd == made.created_mjd,
        )
        with self.write() as connection:
            record = self._found(connection, key)
            if connection.execute(sa.delete(artefacts).where(*same)).rowcount == 0:
                return False
            message = f"{made.kind} removed: {reason}"
            add_event(connection, key, record.state, step, message, "")
            return True

    def find_artefact(self, path: Path) -> tuple[str, Artefact] | None:
        """Return the artefact of a path, with the partition key of its observation."""
        columns = artefacts.c
        query = ARTEFACTS.query.add_columns(columns.key).where(columns.path == path)
        return self.first(
            query.order_by(columns.created_mjd.desc()),
            lambda row: (row.key, ARTEFACTS.read(row[:-1])),
        )

    def applied_sets(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> list[AppliedSet]:
        """Return the caltable sets applied to the products of each observation, in order of time.

        An observation whose products were made with different sets has one entry for each. An
        observation whose MS now holds another one is left out: it can't be reprocessed.

        Parameters
        ----------
        start_mjd, end_mjd : float, optional
            Only observations whose mid-MJD is in [start, end), days.
        """
        mine, theirs = artefacts.c, observations.c
        carried = (
            mine.key,
            theirs.mid_mjd,
            theirs.declination_deg,
            mine.set_name,
            mine.set_version,
            mine.borrowed,
        )
        query = (
            # Grouped by the database: there are many kinds of products.
            sa.select(*carried, sa.func.aggregate_strings(mine.kind, ","))
            .join(observations)
            .where(mine.set_name != "", theirs.superseded_by == "")
            .group_by(*carried)
            .order_by(theirs.mid_mjd, mine.set_name, mine.set_version, mine.borrowed)
        )
        return self.all(
            between(query, theirs.mid_mjd, start_mjd, end_mjd),
            lambda row: AppliedSet(*(*row[:-1], tuple(sorted(row[-1].split(","))))),
        )

    def image(self, key: str, version: int = 1) -> ImageRecord | None:
        """Return the statistics of an observation's image; None if there is none."""
        query = IMAGES.query.where(images.c.key == key, images.c.version == version)
        return self.first(query, IMAGES.read)

    def images(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None, version: int = 1
    ) -> dict[str, ImageRecord]:
        """Return image statistics by partition key, in order of time."""
        mid = observations.c.mid_mjd
        query = IMAGES.query.add_columns(images.c.key).join(observations).order_by(mid)
        query = between(query.where(images.c.version == version), mid, start_mjd, end_mjd)
        return dict(self.all(query, lambda row: (row.key, IMAGES.read(row[:-1]))))

    def image_noise(self, *, start_mjd: float, end_mjd: float) -> list[ImageNoise]:
        """Return the noise of the images that passed their checks, in order of time.

        Parameters
        ----------
        start_mjd, end_mjd : float
            Only observations whose mid-MJD is in [start, end), days.
        """
        mine = observations.c
        query = (
            sa.select(mine.key, mine.mid_mjd, images.c.rms_mjy, images.c.expected_rms_mjy)
            .join_from(observations, images)
            .where(
                mine.state == ObservationState.IMAGED,
                mine.superseded_by == "",
                images.c.version == 1,
                images.c.rms_mjy > 0,
            )
            .order_by(mine.mid_mjd)
        )
        return self.all(
            between(query, mine.mid_mjd, start_mjd, end_mjd), lambda row: ImageNoise(*row)
        )

    def _found(self, connection: sa.Connection, key: str) -> ObservationRecord:
        found = find_record(connection, key)
        if found is None:
            mjd = parse_partition_key(key)
            keys = connection.scalars(
                sa.select(observations.c.key)
                .order_by(sa.func.abs(observations.c.mid_mjd - mjd))
                .limit(_NEAR)
            ).all()
            raise ProductsError(
                f"there is no observation {key} in {self.address}; "
                + (f"nearest: {', '.join(sorted(keys))}" if keys else "it holds none"),
                key=key,
                near=sorted(keys),
            )
        return found
