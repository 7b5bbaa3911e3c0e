"""Images made elsewhere, as observations in the products store.

Belongs here: recording an image with its products, and querying new ones. Doesn't:
MeasurementSets (see `store`), reading or writing any image.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.observations.model import Observation, ObservationOrigin
from contimg_resources.products.arrivals import check_arrival
from contimg_resources.products.model import (
    Arrival,
    ArrivalOutcome,
    Artefact,
    ImageRecord,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.recording import (
    add_event,
    find_record,
    product_rows,
    replace_products,
    supersede,
)
from contimg_resources.products.rows import OBSERVATIONS, observation_values
from contimg_resources.products.tables import (
    antenna_evidence,
    artefacts,
    images,
    observation_events,
    observations,
    primary_beams,
)

#: The step that adds an image.
STEP = "images_add"


class ImageProducts(PartOfStore):
    """The images made elsewhere of the products store."""

    def check_arrival(
        self, key: str, path: Path, signature: str, *, replace: bool = False
    ) -> ArrivalOutcome:
        """Classify the addition of an image, without changing anything.

        Parameters
        ----------
        key : str
            Partition key of its time.
        path : Path
            Image file.
        signature : str
            Signature of its content.
        replace : bool
            Whether it may replace another image.

        Raises
        ------
        ProductsError
            If another observation has the same key.
        """
        with self._database.read() as connection:
            known = find_record(connection, key)
        return _outcome(known, path.absolute(), signature, replace)[0]

    def put(
        self,
        observation: Observation,
        made: Sequence[Artefact],
        image: ImageRecord,
        *,
        refused: str = "",
        replace: bool = False,
        run_id: str = "",
    ) -> Arrival:
        """Record an image with its products: all of them or none.

        Parameters
        ----------
        observation : Observation
            The image as an observation.
        made : sequence of Artefact
            Its files in contimg's standard form.
        image : ImageRecord
            Image statistics.
        refused : str
            Why it may not be used; empty: its state is ``imaged``.
        replace : bool
            Whether it may replace another image.
        run_id : str
            Run id, for the history.

        Raises
        ------
        ProductsError
            If another observation has the same key.
        """
        key, path = observation.key, observation.path.absolute()
        state = ObservationState.FAILED if refused else ObservationState.IMAGED
        rows, numbers = product_rows(key, made, image)
        with self._database.write() as connection:
            supersede(connection, path, key, run_id)
            known = find_record(connection, key)
            outcome, message = _outcome(known, path, observation.signature, replace)
            values = observation_values(observation, path) | {
                "state": state,
                "step": STEP,
                "reason": refused,
                "updated_mjd": now_mjd(),
            }
            if known is None:
                connection.execute(sa.insert(observations).values(key=key, **values))
            else:
                connection.execute(
                    sa.update(observations).where(observations.c.key == key).values(**values)
                )
                for table in (artefacts, images, antenna_evidence, primary_beams):
                    connection.execute(sa.delete(table).where(table.c.key == key))
            replace_products(connection, rows, numbers)
            told = f"{message or 'made again'}{f': {refused}' if refused else ''}"
            add_event(connection, key, state, STEP, told, run_id)
            found = find_record(connection, key)
        assert found is not None
        return Arrival(outcome, found)

    def added_after(
        self, event_id: int, limit: int = 100
    ) -> tuple[tuple[ObservationRecord, ...], int]:
        """Return the images that were added or replaced after an event, and the next `event_id`.

        Parameters
        ----------
        event_id : int
            An id that an earlier call returned; 0: all.
        limit : int
            Maximum number of images, the earliest additions first.
        """
        event = observation_events.c
        with self._database.read() as connection:
            # Without a new image the next call looks only at later events: there are millions. Ids
            # decrease only in a restored store.
            newest = int(connection.scalar(sa.select(sa.func.max(event.id))) or 0)
            new = (
                sa.select(event.key, sa.func.max(event.id).label("id"))
                .where(event.step == STEP, event.id > min(event_id, newest))
                .group_by(event.key)
                .order_by(sa.text("id"))
                .limit(limit)
            )
            latest = {row.key: int(row.id) for row in connection.execute(new)}
            query = OBSERVATIONS.query.where(
                observations.c.origin == ObservationOrigin.IMAGE,
                observations.c.key.in_(list(latest)),
            )
            found = [OBSERVATIONS.read(row) for row in connection.execute(query)]
        records = tuple(sorted(found, key=lambda r: r.mid_mjd))
        return records, max(latest.values(), default=newest)


def _outcome(
    known: ObservationRecord | None, path: Path, signature: str, replace: bool
) -> tuple[ArrivalOutcome, str]:
    try:
        return check_arrival(known, path, signature, ObservationOrigin.IMAGE)
    except ProductsError as error:
        if known is None or known.origin is not ObservationOrigin.IMAGE:
            raise
        if not replace:
            raise ProductsError(
                f"{error.message}, or add it with --replace", **error.details
            ) from error
        return ArrivalOutcome.REPLACED, f"{known.path} was replaced by {path}, as asked"
