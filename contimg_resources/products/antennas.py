"""Evidence about antennas in the products store, and persons' marks of them.

Belongs here: recording and listing both. Doesn't: what follows from them (see
`contimg_resources.calibration.antenna_record`).

An observation has one row, which a repetition replaces. Marks are only added.
"""

from dataclasses import fields, replace
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from contimg_resources.calibration.antenna_health import AntennaEvidence, Evidence, faults
from contimg_resources.calibration.antenna_record import (
    AntennaMark,
    AntennaReport,
    MarkedAntenna,
    ObservedAntennas,
    marks_at,
    spells,
)
from contimg_resources.core.errors import InvalidName, ProductsError, in_words_of_reader
from contimg_resources.core.plain_text import plain_line
from contimg_resources.database import PartOfStore, now_mjd, plain_json
from contimg_resources.database.records import Records, between, replace_row, values_of
from contimg_resources.products.tables import antenna_evidence, antenna_marks

#: Maximum number of characters of an antenna's name, of a person's, and of a note.
LONGEST_NAME, LONGEST_NOTE = 60, 2000
#: A moment after an observation, days.
_AFTER_DAYS = 1e-6

_OBSERVED = Records(ObservedAntennas, antenna_evidence, ProductsError)
_MARKS = Records(MarkedAntenna, antenna_marks, ProductsError)
_EVIDENCE = TypeAdapter(dict[str, AntennaEvidence])
#: Evidence is stored by column, which takes a fifth of the space.
_NAMES, _COLUMNS = "antenna", tuple(f.name for f in fields(AntennaEvidence))


class AntennaProducts(PartOfStore):
    """What the products store knows about antennas."""

    def put(
        self,
        key: str,
        telescope: str,
        mid_mjd: float,
        evidence: Evidence,
        left_out: dict[str, str],
        *,
        run_id: str = "",
    ) -> ObservedAntennas:
        """Record what an observation shows, in place of what it showed before.

        Parameters
        ----------
        key : str
            Key of the observation.
        telescope : str
            Name of its telescope.
        mid_mjd : float
            Its middle, MJD in days.
        evidence : mapping
            Evidence by name of the antenna.
            Without any, the observation has no record.
        left_out : dict
            Antennas without data in its image, with the reasons.
        run_id : str
            The run that imaged it; empty on the command line.
        """
        # Names come from the MS.
        evidence = {plain_line(name): one for name, one in evidence.items()}
        made = ObservedAntennas(
            key=key,
            telescope=plain_line(telescope)[:LONGEST_NAME],
            mid_mjd=mid_mjd,
            n_antennas=len(evidence),
            faults=faults(evidence),
            unexamined=[name for name, one in evidence.items() if not one.is_examined],
            left_out=left_out,
        )
        values: dict[str, Any] = values_of(
            made,
            run_id=run_id,
            created_mjd=now_mjd(),
            evidence=plain_json(
                {
                    _NAMES: list(evidence),
                    **{c: [getattr(one, c) for one in evidence.values()] for c in _COLUMNS},
                }
            ),
        )
        with self._database.write() as connection:
            if evidence:
                replace_row(connection, antenna_evidence, values)
            else:
                same = antenna_evidence.c.key == key
                connection.execute(sa.delete(antenna_evidence).where(same))
        return made

    def observed(
        self,
        *,
        telescope: str | None = None,
        start_mjd: float | None = None,
        end_mjd: float | None = None,
    ) -> list[ObservedAntennas]:
        """Return what observations show in short, in order of time.

        Parameters
        ----------
        telescope : str, optional
            Only observations of this telescope.
        start_mjd, end_mjd : float, optional
            Only those whose middle is in [start, end), MJD in days.
        """
        columns = antenna_evidence.c
        query = between(_OBSERVED.query, columns.mid_mjd, start_mjd, end_mjd)
        if telescope is not None:
            query = query.where(columns.telescope == plain_line(telescope)[:LONGEST_NAME])
        return self._database.all(query.order_by(columns.mid_mjd), _OBSERVED.read)

    def before(self, mjd: float, days: float, *, telescope: str | None = None) -> AntennaReport:
        """Return the state of the antennas before a moment.

        Parameters
        ----------
        mjd : float
            The moment, MJD in days; observations at it don't count.
        days : float
            Number of days before it whose observations count.
        telescope : str, optional
            The telescope; None: that of the last of these observations.
        """
        observed = self.observed(telescope=telescope, start_mjd=mjd - days, end_mjd=mjd)
        if telescope is None and observed:
            telescope = observed[-1].telescope
            observed = [one for one in observed if one.telescope == telescope]
        marks = marks_at(self.marks(), mjd)
        return AntennaReport(telescope or "", tuple(observed), spells(observed), marks)

    def present(self, days: float) -> AntennaReport:
        """Return the state of the antennas after the latest observation that examined them.

        `days` is as for `before`.
        """
        last = self.last()
        return self.before(now_mjd() if last is None else last.mid_mjd + _AFTER_DAYS, days)

    def last(self) -> ObservedAntennas | None:
        """Return what the latest observation shows; None: there is none."""
        query = _OBSERVED.query.order_by(antenna_evidence.c.mid_mjd.desc()).limit(1)
        return self._database.first(query, _OBSERVED.read)

    def evidence(
        self, *, start_mjd: float | None = None, end_mjd: float | None = None
    ) -> dict[str, dict[str, AntennaEvidence]]:
        """Return the whole evidence by observation, in order of time, and antenna.

        `start_mjd` and `end_mjd` are as for `observed`.

        Raises
        ------
        ProductsError
            If a row is damaged.
        """
        columns = antenna_evidence.c
        query = between(
            sa.select(columns.key, columns.evidence), columns.mid_mjd, start_mjd, end_mjd
        )
        return dict(self._database.all(query.order_by(columns.mid_mjd), _whole))

    def evidence_of(self, key: str) -> dict[str, AntennaEvidence]:
        """Return the evidence of an observation by antenna; empty: there is none.

        Raises
        ------
        ProductsError
            If it is damaged.
        """
        columns = antenna_evidence.c
        query = sa.select(columns.key, columns.evidence).where(columns.key == key)
        found = self._database.first(query, _whole)
        return {} if found is None else found[1]

    def mark(self, mark: MarkedAntenna) -> MarkedAntenna:
        """Add a person's mark of an antenna.

        Raises
        ------
        InvalidName
            If a name or the note is missing or too long.
        """
        for what, text, longest in (
            ("name of an antenna", mark.antenna, LONGEST_NAME),
            ("name of a person", mark.by, LONGEST_NAME),
            ("note", mark.note, LONGEST_NOTE),
        ):
            if not 0 < len(text.strip()) <= longest or plain_line(text) != text:
                raise InvalidName(f"a {what} is one line of 1 to {longest} characters")
        made = replace(mark, mark=AntennaMark(mark.mark), created_mjd=now_mjd())
        with self._database.write() as connection:
            connection.execute(sa.insert(antenna_marks).values(**values_of(made)))
        return made

    def marks(self) -> tuple[MarkedAntenna, ...]:
        """Return all marks, in the order in which they were made."""
        return tuple(self._database.all(_MARKS.query.order_by(antenna_marks.c.number), _MARKS.read))


def _whole(row: Any) -> tuple[str, dict[str, AntennaEvidence]]:
    try:
        stored = [row.evidence[column] for column in (_NAMES, *_COLUMNS)]
        told = {
            name: dict(zip(_COLUMNS, one, strict=True)) for name, *one in zip(*stored, strict=True)
        }
        return row.key, _EVIDENCE.validate_python(told)
    except (KeyError, TypeError, ValueError) as error:
        raise ProductsError(
            f"the evidence about antennas of observation {row.key} in the products store is "
            f"damaged: {in_words_of_reader(error)}",
            key=row.key,
        ) from error
