"""Sub-band files of the observations that the correlator delivered.

Belongs here: the rows of the files, and what their arrival means for an observation.
Doesn't: recording the arrival (see `store`), grouping files (see `contimg_resources.correlator`).
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import Database
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.model import Observation, ObservationOrigin, SubBandFile
from contimg_resources.products.arrivals import MOVED, refuse_other_origin
from contimg_resources.products.model import (
    ArrivalOutcome,
    ArtefactKind,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.recording import add_event, find_record
from contimg_resources.products.rows import observation_values
from contimg_resources.products.tables import artefacts, observations, sub_bands

#: Limit of the variables of a statement in SQLite is above it.
_PATHS_PER_QUERY = 500


def files_of(connection: sa.Connection, key: str) -> tuple[SubBandFile, ...]:
    """Return the sub-band files of an observation by number; none for an MS or image."""
    columns = sub_bands.c
    query = sa.select(columns.number, columns.path, columns.size_bytes, columns.modified_ns)
    return tuple(
        SubBandFile(row.number, Path(row.path), row.size_bytes, row.modified_ns)
        for row in connection.execute(query.where(columns.key == key).order_by(columns.number))
    )


def replace_files(connection: sa.Connection, key: str, files: Sequence[SubBandFile]) -> None:
    """Record the sub-band files of an observation in place of earlier ones."""
    connection.execute(sa.delete(sub_bands).where(sub_bands.c.key == key))
    if files:
        rows = [{"key": key, **vars(file), "path": str(file.path)} for file in files]
        connection.execute(sa.insert(sub_bands), rows)


def check_sub_bands(
    known: ObservationRecord | None, before: Sequence[SubBandFile], observation: Observation
) -> tuple[ArrivalOutcome, str]:
    """Classify the arrival of sub-band files, given the known observation of their key.

    Parameters
    ----------
    known : ObservationRecord or None
        The observation with the same key, if any.
    before : sequence of SubBandFile
        Its sub-band files.
    observation : Observation
        The observation that arrived.

    Returns
    -------
    tuple of (ArrivalOutcome, str)
        The outcome, and the entry for the observation's history.

    Raises
    ------
    ProductsError
        If an MS or an image is that observation.
    """
    files = observation.sub_bands
    directory = files[0].path.parent
    if known is None or known.superseded_by:
        outcome = ArrivalOutcome.NEW if known is None else ArrivalOutcome.REPLACED
        return outcome, f"arrived as {len(files)} sub-band files in {directory}"
    refuse_other_origin(known, directory, observation.origin)
    if known.signature == observation.signature:
        if [f.path for f in before] == [f.path for f in files]:
            return ArrivalOutcome.SAME, ""
        return ArrivalOutcome.MOVED, f"{MOVED} {before[0].path.parent} to {directory}"
    there = {f.number: f for f in before}
    late = [f.number for f in files if f.number not in there]
    changed = [
        f.number
        for f in files
        if f.number in there
        and (f.size_bytes, f.modified_ns)
        != (there[f.number].size_bytes, there[f.number].modified_ns)
    ]
    words = [
        f"{what}: {', '.join(map(str, numbers))}"
        for what, numbers in (("late sub-bands", late), ("replaced sub-bands", changed))
        if numbers
    ] or ["other sub-band files"]
    return (
        ArrivalOutcome.REPLACED,
        f"{'; '.join(words)}; now {len(files)} of {N_SPECTRAL_WINDOWS} are there",
    )


class SubBandProducts:
    """The observations of the products store that arrived as sub-band files.

    Parameters
    ----------
    database : Database
        The store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self) -> dict[str, tuple[str, str]]:
        """Return signature and path of the first file of every observation, by partition key."""
        mine = observations.c
        query = (
            sa.select(mine.key, mine.signature, sa.func.min(sub_bands.c.path).label("path"))
            .join_from(observations, sub_bands, isouter=True)
            .where(mine.origin == ObservationOrigin.SUB_BANDS.value)
            .group_by(mine.key, mine.signature)
        )
        with self._database.read() as connection:
            return {row.key: (row.signature, row.path or "") for row in connection.execute(query)}

    def keys_of_others(self) -> dict[str, str]:
        """Return path, by partition key, of the observations that arrived as MS or images."""
        mine = observations.c
        query = sa.select(mine.key, mine.path).where(
            mine.origin != ObservationOrigin.SUB_BANDS.value, mine.superseded_by == ""
        )
        with self._database.read() as connection:
            return {row.key: row.path for row in connection.execute(query)}

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
        with self._database.read() as connection:
            for row in connection.execute(query):
                there.setdefault(row.key, set()).add(row.number)
        every = set(range(N_SPECTRAL_WINDOWS))
        return {key: tuple(sorted(every - numbers)) for key, numbers in sorted(there.items())}

    def find(self, path: Path) -> ObservationRecord | None:
        """Return the observation of a sub-band file; None if none has it."""
        query = sa.select(sub_bands.c.key).where(sub_bands.c.path == str(path.absolute()))
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
            sa.select(sub_bands, image.path.label("image"))
            .join(observations, observations.c.key == mine.key)
            .join(artefacts, image.key == mine.key)
            .where(
                observations.c.state == ObservationState.IMAGED.value,
                image.kind == ArtefactKind.IMAGE.value,
                image.version == 1,
                image.created_mjd < before_mjd,
            )
            .order_by(mine.path)
        )
        found = []
        with self._database.read() as connection:
            for start in range(0, len(paths), _PATHS_PER_QUERY):
                some = [str(p) for p in paths[start : start + _PATHS_PER_QUERY]]
                for row in connection.execute(query.where(mine.path.in_(some))):
                    file = SubBandFile(row.number, Path(row.path), row.size_bytes, row.modified_ns)
                    found.append((row.key, file, Path(row.image)))
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
