"""Measured primary beams in the products store.

Belongs here: recording and listing them. Doesn't: combining them (see
`contimg_resources.calibration.beam_record`).

An observation has one row, which a repetition replaces.
"""

from dataclasses import replace

import sqlalchemy as sa

from contimg_resources.calibration.beam_record import STRIP_DEG, BeamReport, ObservedBeam
from contimg_resources.core.errors import ProductsError
from contimg_resources.core.plain_text import plain_line
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.database.records import Records, between, replace_row, values_of
from contimg_resources.products.tables import primary_beams

#: Maximum number of characters of a telescope's name, which comes from the MS.
_LONGEST_NAME = 60
#: A moment after an observation, days.
_AFTER_DAYS = 1e-6

_BEAMS = Records(ObservedBeam, primary_beams, ProductsError)


class PrimaryBeams(PartOfStore):
    """The measured primary beams in the products store."""

    def put(self, observed: ObservedBeam, *, run_id: str = "") -> ObservedBeam:
        """Record the primary beam of an observation, in place of what it showed before.

        Without any fit, the observation has no record.
        """
        made = replace(observed, telescope=_name(observed.telescope))
        with self._database.write() as connection:
            if made.measured.fits:
                values = values_of(made, run_id=run_id, created_mjd=now_mjd())
                replace_row(connection, primary_beams, values)
            else:
                same = primary_beams.c.key == made.key
                connection.execute(sa.delete(primary_beams).where(same))
        return made

    def before(
        self,
        mjd: float,
        days: float,
        *,
        telescope: str | None = None,
        declination_deg: float | None = None,
    ) -> BeamReport:
        """Return the primary beam that observations before a moment show together.

        Parameters
        ----------
        mjd : float
            The moment, MJD in days; observations at it don't count.
        days : float
            Number of days before it whose observations count.
        telescope : str, optional
            The telescope; None: that of the last of these observations.
        declination_deg : float, optional
            Declination of the strip, ICRS degrees; None: that of the last of these observations.

        Raises
        ------
        ProductsError
            If a row is damaged.
        """
        columns = primary_beams.c
        query = between(_BEAMS.query, columns.mid_mjd, mjd - days, mjd)
        if telescope is not None:
            query = query.where(columns.telescope == _name(telescope))
        observed = self._database.all(query.order_by(columns.mid_mjd), _BEAMS.read)
        if not observed:
            return BeamReport(telescope or "", ())
        name = observed[-1].telescope if telescope is None else _name(telescope)
        strip_deg = observed[-1].declination_deg if declination_deg is None else declination_deg
        return BeamReport(
            name,
            tuple(
                one
                for one in observed
                if one.telescope == name and abs(one.declination_deg - strip_deg) <= STRIP_DEG
            ),
        )

    def present(self, days: float) -> BeamReport:
        """Return the primary beam after the latest observation that measured it.

        `days` is as for `before`.
        """
        with self._database.read() as connection:
            last = connection.scalar(sa.select(sa.func.max(primary_beams.c.mid_mjd)))
        return self.before(now_mjd() if last is None else float(last) + _AFTER_DAYS, days)


def _name(telescope: str) -> str:
    return plain_line(telescope)[:_LONGEST_NAME]
