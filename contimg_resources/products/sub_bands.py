"""Observations that arrived as sub-band files, in the products store.

Belongs here: querying their files, and describing them anew. Doesn't: recording the arrival (see
`recording`), grouping files (see `contimg_resources.correlator`).
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import PartOfStore
from contimg_resources.database.records import between
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.model import Observation, ObservationOrigin, SubBandFile
from contimg_resources.products.model import ArtefactKind, ObservationRecord, ObservationState
from contimg_resources.products.recording import add_event, files_of, find_record
from contimg_resources.products.rows import SUB_BANDS, observation_values
from contimg_resources.products.tables import artefacts, observations, sub_bands

#: Paths in one query: fewer than the variables that a statement in SQLite may have.
PATHS_PER_QUERY = 500


class SubBandProducts(PartOfStore):
    """The observations of the products store that arrived as sub-band files."""

    def known(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> dict[str, tuple[str, str]]:
        """Return signature and path of the first file of observations, by partition key.

        Mid-MJDs are in [start, end), days.
        """
        mine = observations.c
        query = (
            sa.select(mine.key, mine.signature, sa.func.min(sub_bands.c.path).label("path"))
            .join_from(observations, sub_bands, isouter=True)
            .where(mine.origin == ObservationOrigin.SUB_BANDS)
            .group_by(mine.key, mine.signature)
        )
        found = self._database.all(between(query, mine.mid_mjd, start_mjd, end_mjd), tuple)
        return {key: (signature, str(path or "")) for key, signature, path in found}

    def keys_of_others(self, *, start_mjd: float, end_mjd: float) -> dict[str, str]:
        """Return path, by partition key, of the observations that arrived as MS or images.

        Mid-MJDs are in [start, end), days.
        """
        mine = observations.c
        query = sa.select(mine.key, mine.path).where(
            mine.origin != ObservationOrigin.SUB_BANDS, mine.superseded_by == ""
        )
        query = between(query, mine.mid_mjd, start_mjd, end_mjd)
        return dict(self._database.all(query, lambda row: (row.key, str(row.path))))

    def files(self, key: str) -> tuple[SubBandFile, ...]:
        """Return the sub-band files of an observation by number."""
        with self._database.read() as connection:
            return files_of(connection, key)

    def missing(self, *, start_mjd: float) -> dict[str, tuple[int, ...]]:
        """Return the numbers of missing sub-bands of the observations that lack some, by key.

        Parameters
        ----------
        start_mjd : float
            Only observations whose mid-MJD isn't before this, days.
        """
        mine = sub_bands.c
        lacking = (
            sa.select(mine.key)
            .join(observations, observations.c.key == mine.key)
            .where(observations.c.mid_mjd >= start_mjd)
            .group_by(mine.key)
            .having(sa.func.count() < N_SPECTRAL_WINDOWS)
        )
        query = sa.select(mine.key, mine.number).where(mine.key.in_(lacking))
        there: dict[str, set[int]] = {}
        for key, number in self._database.all(query, tuple):
            there.setdefault(key, set()).add(number)
        every = set(range(N_SPECTRAL_WINDOWS))
        return {key: tuple(sorted(every - numbers)) for key, numbers in sorted(there.items())}

    def find(self, path: Path) -> ObservationRecord | None:
        """Return the observation of a sub-band file; None if none has it."""
        query = sa.select(sub_bands.c.key).where(sub_bands.c.path == path)
        with self._database.read() as connection:
            key = connection.scalar(query)
            return None if key is None else find_record(connection, key)

    def imaged(
        self, paths: Sequence[Path], *, before_mjd: float
    ) -> list[tuple[str, SubBandFile, Path]]:
        """Return those of some files whose observation was imaged before a time.

        Parameters
        ----------
        paths : sequence of Path
            Sub-band files; others are left out.
        before_mjd : float
            The time, MJD in days.

        Returns
        -------
        list of tuple of (str, SubBandFile, Path)
            Partition key, file and image, by file.
        """
        mine, image = sub_bands.c, artefacts.c
        query = (
            SUB_BANDS.query.add_columns(mine.key, image.path)
            .join(observations, observations.c.key == mine.key)
            .join(artefacts, image.key == mine.key)
            .where(
                observations.c.state == ObservationState.IMAGED,
                image.kind == ArtefactKind.IMAGE,
                image.version == 1,
                image.created_mjd < before_mjd,
            )
            .order_by(mine.path)
        )
        found = []
        for start in range(0, len(paths), PATHS_PER_QUERY):
            some = query.where(mine.path.in_(paths[start : start + PATHS_PER_QUERY]))
            found += self._database.all(
                some, lambda row: (row[-2], SUB_BANDS.read(row[:-2]), row[-1])
            )
        return found

    def note(self, key: str, step: str, message: str, *, run_id: str = "") -> None:
        """Add an entry to the history of an observation, whose state stays.

        Parameters
        ----------
        key : str
            Partition key of the observation.
        step : str
            The step that makes the entry.
        message : str
            Description.
        run_id : str
            The run that makes it; empty on the command line.
        """
        with self._database.write() as connection:
            record = find_record(connection, key)
            if record is not None:
                add_event(connection, key, record.state, step, message, run_id)

    def describe(self, observation: Observation) -> None:
        """Replace the description of an observation by one that was read from its data.

        State, sub-band files and history stay.

        Parameters
        ----------
        observation : Observation
            The observation, with the signature of the sub-band files that were read.

        Raises
        ------
        ProductsError
            If other sub-band files have arrived meanwhile.
        """
        key = observation.key
        values = observation_values(observation, observation.path)
        columns = observations.c
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(observations)
                .where(columns.key == key, columns.signature == observation.signature)
                .values(**values)
            ).rowcount
        if not changed:
            raise ProductsError(
                f"other sub-band files of observation {key} have arrived meanwhile; it is made "
                "again from them",
                key=key,
            )
