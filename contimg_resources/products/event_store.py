"""Candidates, marks and alerts in the products store.

Belongs here: recording and querying them. Doesn't: searching, sending.
"""

from collections.abc import Iterable
from dataclasses import replace

import sqlalchemy as sa

from contimg_resources.core.errors import VariabilityFailed
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.database.records import replace_row, values_of
from contimg_resources.products.events import (
    BEGUN,
    CANDIDATE_KEY,
    DELIVERED,
    AlertRecord,
    CandidateRecord,
    CandidateState,
    MarkRecord,
)
from contimg_resources.products.rows import ALERTS, CANDIDATES, MARKS
from contimg_resources.products.tables import alerts, candidates, marks

_NEAR = 3
#: No alert waits longer for its next attempt, or is claimed for longer: longer times come from a
#: clock that was set back.
_LONGEST_PAUSE_DAYS, _LONGEST_CLAIM_DAYS = 0.5, 0.5 / 24


class EventProducts(PartOfStore):
    """The candidates, marks and alerts of the products store."""

    def put_candidates(self, records: Iterable[CandidateRecord]) -> None:
        """Record candidates, each replacing the record of the same id; all or none.

        The time and the search of the first detection are kept.
        """
        with self._database.write() as connection:
            for record in records:
                known = connection.execute(
                    sa.select(candidates.c.created_mjd, candidates.c.first_day).where(
                        candidates.c.id == record.id
                    )
                ).first()
                values = values_of(record, created_mjd=now_mjd())
                if known is not None:
                    values["created_mjd"] = known.created_mjd
                    values["first_day"] = min(known.first_day, record.first_day)
                replace_row(connection, candidates, values)

    def list_candidates(self, source_id: str | None = None) -> tuple[CandidateRecord, ...]:
        """Return all candidates, or those of one source, by epoch of minimum."""
        query = CANDIDATES.query.order_by(candidates.c.mid_mjd, candidates.c.id)
        if source_id is not None:
            query = query.where(candidates.c.source_id == source_id)
        return tuple(self._database.all(query, CANDIDATES.read))

    def candidate(self, candidate_id: str) -> CandidateRecord:
        """Return one candidate.

        Raises
        ------
        VariabilityFailed
            Naming the latest candidates, if none has this id.
        """
        query = CANDIDATES.query.where(candidates.c.id == candidate_id)
        if (found := self._database.first(query, CANDIDATES.read)) is not None:
            return found
        latest = sa.select(candidates.c.id).order_by(candidates.c.mid_mjd.desc()).limit(_NEAR)
        near = self._database.all(latest, lambda row: row.id)
        raise VariabilityFailed(
            f"there is no candidate {candidate_id!r} in {self._database.address}; "
            + (f"the latest: {', '.join(near)}" if near else "it holds none"),
            candidate=candidate_id,
            near=near,
        )

    def put_mark(self, mark: MarkRecord) -> MarkRecord:
        """Add a mark to a candidate; earlier marks stay.

        Raises
        ------
        VariabilityFailed
            If there is no such candidate.
        """
        self.candidate(mark.candidate_id)
        marked = replace(mark, created_mjd=now_mjd())
        with self._database.write() as connection:
            connection.execute(sa.insert(marks).values(**values_of(marked)))
        return marked

    def list_marks(self, candidate_id: str | None = None) -> tuple[MarkRecord, ...]:
        """Return all marks, or those of one candidate, in order of time."""
        query = MARKS.query.order_by(marks.c.number)
        if candidate_id is not None:
            query = query.where(marks.c.candidate_id == candidate_id)
        return tuple(self._database.all(query, MARKS.read))

    def last_marks(self) -> dict[str, MarkRecord]:
        """Return the current mark of each marked candidate, by id."""
        return {mark.candidate_id: mark for mark in self.list_marks()}

    def untold_candidates(self) -> tuple[CandidateRecord, ...]:
        """Return the current candidates without an alert, by epoch of minimum."""
        told = sa.select(alerts.c.key).where(
            alerts.c.key == sa.literal(CANDIDATE_KEY) + candidates.c.id
        )
        query = CANDIDATES.query.where(
            candidates.c.state != CandidateState.WITHDRAWN, ~told.exists()
        ).order_by(candidates.c.mid_mjd, candidates.c.id)
        return tuple(self._database.all(query, CANDIDATES.read))

    def add_alert(self, alert: AlertRecord, *, at_mjd: float | None = None) -> bool:
        """Record an alert that is due; return False, and change nothing, if it is known.

        Parameters
        ----------
        alert : AlertRecord
            The alert; due at once.
        at_mjd : float, optional
            The present, MJD in days; by default the clock's.
        """
        due_mjd = now_mjd() if at_mjd is None else at_mjd
        values = values_of(alert, created_mjd=due_mjd, next_try_mjd=due_mjd)
        with self._database.write() as connection:
            known = connection.execute(
                sa.select(alerts.c.key).where(alerts.c.key == alert.key)
            ).first()
            if known is not None:
                return False
            connection.execute(sa.insert(alerts).values(**values))
        return True

    def known_alerts(self, keys: Iterable[str]) -> frozenset[str]:
        """Return the keys for which an alert is recorded."""
        query = sa.select(alerts.c.key).where(alerts.c.key.in_(list(keys)))
        return frozenset(self._database.all(query, lambda row: row.key))

    def list_alerts(self, *, unsent: bool = False) -> tuple[AlertRecord, ...]:
        """Return all alerts, or only those not delivered yet, in order of time."""
        query = ALERTS.query.order_by(alerts.c.created_mjd, alerts.c.key)
        if unsent:
            query = query.where(alerts.c.sent_mjd.is_(None))
        return tuple(self._database.all(query, ALERTS.read))

    def due_alerts(self, *, at_mjd: float, since_mjd: float) -> tuple[AlertRecord, ...]:
        """Return the alerts that may be sent now and that no process has claimed.

        Parameters
        ----------
        at_mjd : float
            The present, MJD in days.
        since_mjd : float
            Only alerts recorded since then, MJD in days.
        """
        query = ALERTS.query.where(*_is_free(at_mjd), alerts.c.created_mjd >= since_mjd).order_by(
            alerts.c.created_mjd, alerts.c.key
        )
        return tuple(self._database.all(query, ALERTS.read))

    def claim_alert(self, key: str, *, at_mjd: float, until_mjd: float) -> AlertRecord | None:
        """Claim an alert for this process; None if it isn't due, or another process claimed it.

        Parameters
        ----------
        key : str
            Its key.
        at_mjd, until_mjd : float
            The present, and the end of the claim, in case this process dies, MJD in days.
        """
        with self._database.write() as connection:
            claimed = connection.execute(
                sa.update(alerts)
                .where(alerts.c.key == key, *_is_free(at_mjd))
                .values(claimed_until_mjd=until_mjd)
            )
            if claimed.rowcount != 1:
                return None
            return ALERTS.read(connection.execute(ALERTS.query.where(alerts.c.key == key)).one())

    def begin_delivery(self, key: str, channel: str) -> bool:
        """Record that the delivery of an alert on a channel begins; False if it began before."""
        with self._database.write() as connection:
            known = connection.scalar(sa.select(alerts.c.channels).where(alerts.c.key == key))
            if known is None or channel in known:
                return False
            _set_channels(connection, key, {**known, channel: BEGUN})
        return True

    def end_delivery(self, key: str, channel: str, *, delivered: bool) -> None:
        """Record the end of a delivery: delivered, or certainly not, so that it may be retried."""
        with self._database.write() as connection:
            known = connection.scalar(sa.select(alerts.c.channels).where(alerts.c.key == key)) or {}
            others = {name: how for name, how in known.items() if name != channel}
            _set_channels(connection, key, {**others, channel: DELIVERED} if delivered else others)

    def update_alert(self, alert: AlertRecord) -> None:
        """Record the delivery of an alert (sent, attempts, error, next attempt); end the claim."""
        with self._database.write() as connection:
            connection.execute(
                sa.update(alerts)
                .where(alerts.c.key == alert.key)
                .values(
                    sent_mjd=alert.sent_mjd,
                    n_tries=alert.n_tries,
                    error=alert.error,
                    next_try_mjd=alert.next_try_mjd,
                    claimed_until_mjd=None,
                )
            )


def _is_free(at_mjd: float) -> tuple[sa.ColumnElement[bool], ...]:
    columns = alerts.c
    return (
        columns.sent_mjd.is_(None),
        sa.or_(
            columns.next_try_mjd <= at_mjd,
            columns.next_try_mjd > at_mjd + _LONGEST_PAUSE_DAYS,
            # It was due at once.
            sa.and_(columns.n_tries == 0, columns.next_try_mjd.is_not(None)),
        ),
        sa.or_(
            columns.claimed_until_mjd.is_(None),
            columns.claimed_until_mjd <= at_mjd,
            columns.claimed_until_mjd > at_mjd + _LONGEST_CLAIM_DAYS,
        ),
    )


def _set_channels(connection: sa.Connection, key: str, channels: dict[str, str]) -> None:
    connection.execute(sa.update(alerts).where(alerts.c.key == key).values(channels=channels))
