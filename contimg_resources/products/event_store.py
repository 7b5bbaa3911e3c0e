"""Candidates, marks and alerts in the products store.

Belongs here: recording and querying them. Doesn't: searching, sending.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from contimg_resources.core.errors import VariabilityFailed
from contimg_resources.database import Database, now_mjd, plain_json
from contimg_resources.database.values import read_json
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import (
    BEGUN,
    CANDIDATE_KEY,
    DELIVERED,
    AlertRecord,
    CandidateRecord,
    CandidateState,
    Mark,
    MarkRecord,
)
from contimg_resources.products.tables import alerts, candidates, marks

_NEAR = 3
#: No alert waits longer for its next attempt, or is claimed for longer: longer times come from a
#: clock that was set back.
_LONGEST_PAUSE_DAYS, _LONGEST_CLAIM_DAYS = 0.5, 0.5 / 24


class EventProducts:
    """The candidates, marks and alerts of the products store.

    Parameters
    ----------
    database : Database
        The store's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

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
                values: dict[str, Any] = plain_json(asdict(record))
                values["created_mjd"] = now_mjd() if known is None else known.created_mjd
                if known is not None:
                    values["first_day"] = min(known.first_day, record.first_day)
                connection.execute(sa.delete(candidates).where(candidates.c.id == record.id))
                connection.execute(sa.insert(candidates).values(**values))

    def list_candidates(self, source_id: str | None = None) -> tuple[CandidateRecord, ...]:
        """Return all candidates, or those of one source, by epoch of minimum."""
        query = sa.select(candidates).order_by(candidates.c.mid_mjd, candidates.c.id)
        if source_id is not None:
            query = query.where(candidates.c.source_id == source_id)
        with self._database.read() as connection:
            return tuple(_as_candidate(row) for row in connection.execute(query))

    def candidate(self, candidate_id: str) -> CandidateRecord:
        """Return one candidate.

        Raises
        ------
        VariabilityFailed
            Naming the latest candidates, if none has this id.
        """
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(candidates).where(candidates.c.id == candidate_id)
            ).first()
            if row is not None:
                return _as_candidate(row)
            near = connection.scalars(
                sa.select(candidates.c.id).order_by(candidates.c.mid_mjd.desc()).limit(_NEAR)
            ).all()
        raise VariabilityFailed(
            f"there is no candidate {candidate_id!r} in {self._database.address}; "
            + (f"the latest: {', '.join(near)}" if near else "it holds none"),
            candidate=candidate_id,
            near=list(near),
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
            connection.execute(sa.insert(marks).values(**plain_json(asdict(marked))))
        return marked

    def list_marks(self, candidate_id: str | None = None) -> tuple[MarkRecord, ...]:
        """Return all marks, or those of one candidate, in order of time."""
        query = sa.select(marks).order_by(marks.c.number)
        if candidate_id is not None:
            query = query.where(marks.c.candidate_id == candidate_id)
        with self._database.read() as connection:
            return tuple(_as_mark(row) for row in connection.execute(query))

    def last_marks(self) -> dict[str, MarkRecord]:
        """Return the current mark of each marked candidate, by id."""
        return {mark.candidate_id: mark for mark in self.list_marks()}

    def untold_candidates(self) -> tuple[CandidateRecord, ...]:
        """Return the current candidates without an alert, by epoch of minimum."""
        told = sa.select(alerts.c.key).where(
            alerts.c.key == sa.literal(CANDIDATE_KEY) + candidates.c.id
        )
        query = (
            sa.select(candidates)
            .where(candidates.c.state != CandidateState.WITHDRAWN.value, ~told.exists())
            .order_by(candidates.c.mid_mjd, candidates.c.id)
        )
        with self._database.read() as connection:
            return tuple(_as_candidate(row) for row in connection.execute(query))

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
        values: dict[str, Any] = plain_json(asdict(alert))
        values |= {"created_mjd": due_mjd, "next_try_mjd": due_mjd}
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
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def list_alerts(self, *, unsent: bool = False) -> tuple[AlertRecord, ...]:
        """Return all alerts, or only those not delivered yet, in order of time."""
        query = sa.select(alerts).order_by(alerts.c.created_mjd, alerts.c.key)
        if unsent:
            query = query.where(alerts.c.sent_mjd.is_(None))
        with self._database.read() as connection:
            return tuple(AlertRecord(**row._mapping) for row in connection.execute(query))

    def due_alerts(self, *, at_mjd: float, since_mjd: float) -> tuple[AlertRecord, ...]:
        """Return the alerts that may be sent now and that no process has claimed.

        Parameters
        ----------
        at_mjd : float
            The present, MJD in days.
        since_mjd : float
            Only alerts recorded since then, MJD in days.
        """
        query = (
            sa.select(alerts)
            .where(*_is_free(at_mjd), alerts.c.created_mjd >= since_mjd)
            .order_by(alerts.c.created_mjd, alerts.c.key)
        )
        with self._database.read() as connection:
            return tuple(AlertRecord(**row._mapping) for row in connection.execute(query))

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
            row = connection.execute(sa.select(alerts).where(alerts.c.key == key)).one()
            return AlertRecord(**row._mapping)

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


def _as_candidate(row: Any) -> CandidateRecord:
    values = {f.name: getattr(row, f.name) for f in fields(CandidateRecord)}
    for name in ("ra_deg", "dec_deg"):
        values[name] = math.nan if values[name] is None else values[name]
    try:
        values["parameters"] = read_json(FittedDip, row.parameters)
        values["evidence"] = read_json(DipEvidence, row.evidence)
    except ValidationError as error:
        raise VariabilityFailed(
            f"candidate {row.id!r} in the products store is damaged: {error.errors()[0]['msg']}",
            candidate=row.id,
        ) from error
    return CandidateRecord(**{**values, "state": CandidateState(row.state)})


def _as_mark(row: Any) -> MarkRecord:
    values = {f.name: getattr(row, f.name) for f in fields(MarkRecord)}
    return MarkRecord(**{**values, "mark": Mark(row.mark)})
