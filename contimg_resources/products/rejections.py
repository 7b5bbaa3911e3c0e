"""Rejected deliveries in the products store.

Belongs here: recording and listing them. Doesn't: why a delivery is rejected (see
`contimg_resources.steps.watching`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.plain_text import plain
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.products.tables import rejections


@dataclass(frozen=True)
class Rejection:
    """A delivery that lies in a watched directory and can't be used."""

    directory: Path  #: The watched directory.
    name: str  #: Name of the delivery.
    reason: str
    since_mjd: float  #: When it was first rejected for this reason, MJD in days.


class Rejections(PartOfStore):
    """The rejected deliveries of the products store."""

    def list(self) -> tuple[Rejection, ...]:
        """Return all rejected deliveries, the latest first."""
        query = sa.select(rejections).order_by(rejections.c.since_mjd.desc(), rejections.c.name)
        return tuple(self._database.all(query, lambda row: Rejection(*row)))

    def update(
        self, directory: Path, rejected: Mapping[str, str], *, standing: Collection[str] = ()
    ) -> None:
        """Record the result of a scan of a directory.

        Parameters
        ----------
        directory : Path
            The watched directory.
        rejected : mapping
            Reasons by name.
        standing : collection
            Names whose earlier rejection, if there is one, still holds. All others are forgotten.
        """
        now = {plain(name): plain(reason) for name, reason in rejected.items()}
        columns = rejections.c
        query = sa.select(columns.name, columns.reason).where(columns.directory == directory)
        known = dict(self._database.all(query, tuple))
        new = {name: reason for name, reason in now.items() if known.get(name) != reason}
        gone = known.keys() - now.keys() - {plain(name) for name in standing}
        if not new and not gone:
            return
        with self._database.write() as connection:
            for name in (*gone, *new):
                connection.execute(
                    sa.delete(rejections).where(
                        columns.directory == directory, columns.name == name
                    )
                )
            at_mjd = now_mjd()
            for name, reason in new.items():
                connection.execute(
                    sa.insert(rejections).values(
                        directory=directory, name=name, reason=reason, since_mjd=at_mjd
                    )
                )
