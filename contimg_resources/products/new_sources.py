"""Sources that the reference catalogue lacks, in the products store.

Belongs here: their records, recording and listing them. Doesn't: finding them (see
`contimg_resources.photometry.new_sources`), the candidates of those that are events (see
`event_store`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from contimg_resources.core.errors import VariabilityFailed
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.database.records import Records, replace_row, values_of
from contimg_resources.database.values import Count, Number, Text
from contimg_resources.products.events import NewSourceState
from contimg_resources.products.tables import new_sources


@dataclass(frozen=True)
class Appearance:
    """The evidence for the appearance of a source; NaN where a number isn't known.

    Flux densities are forced ones at its position, one for each transit.
    """

    first_epoch: Text = ""  #: Mosaic of the first transit in which it was found.
    first_mjd: Number = math.nan  #: Mid-time of that mosaic, MJD in days.
    n_detections: Count = None  #: Number of transits in which it was found without a catalogue.
    best_snr: Number = math.nan  #: Highest S/N of these detections.
    n_since: Count = None  #: Number of transits since the first detection, with that one.
    #: `flux_jy`, `flux_error_jy`: Weighted mean over the transits after its appearance that exceed
    #: the earlier ones most significantly, Jy, and its error.
    flux_jy: Number = math.nan
    flux_error_jy: Number = math.nan
    #: `peak_jy`, `peak_error_jy`, `peak_mjd`: The brightest transit: Jy, its error, MJD in days.
    peak_jy: Number = math.nan
    peak_error_jy: Number = math.nan
    peak_mjd: Number = math.nan
    #: `latest_jy`, `latest_error_jy`, `latest_mjd`: The latest transit, likewise.
    latest_jy: Number = math.nan
    latest_error_jy: Number = math.nan
    latest_mjd: Number = math.nan
    last_mjd: Number = math.nan  #: The last transit above three times its error, MJD in days.
    n_earlier: Count = None  #: Number of transits before the first detection.
    earliest_mjd: Number = math.nan  #: The first of them, MJD in days.
    #: `earlier_jy`, `earlier_error_jy`: Weighted mean over the earlier transits, as on the stack of
    #: their mosaics, Jy, and its error.
    earlier_jy: Number = math.nan
    earlier_error_jy: Number = math.nan
    upper_limit_jy: Number = math.nan  #: Upper limit of the earlier flux density (3 sigma), Jy.
    significance: Number = math.nan  #: Flux density less earlier one, over the error of both.
    reason: Text = ""  #: Why it is no event, or was withdrawn; empty for an event.


@dataclass(frozen=True)
class NewSourceRecord:
    """A source that the reference catalogue lacks."""

    name: str  #: Its permanent name, which is also its source id: ``new-J013741.3+330935``.
    #: `ra_deg`, `dec_deg`: Position of the first record, ICRS degrees, at which it is measured.
    ra_deg: float
    dec_deg: float
    #: `east_error_arcsec`, `north_error_arcsec`: Its errors, arcsec.
    east_error_arcsec: float
    north_error_arcsec: float
    state: NewSourceState  #: Whether it is an event.
    evidence: Appearance = field(default_factory=Appearance)  #: The evidence.
    searched_day: int = 0  #: UTC day of the latest mosaic that the evidence includes, integer MJD.
    run_id: str = ""  #: The latest run that changed it; empty on the command line.
    created_mjd: float = 0.0  #: When it was first recorded, MJD in days; set by the store.


NEW_SOURCES = Records(NewSourceRecord, new_sources, VariabilityFailed)


class NewSources(PartOfStore):
    """The sources of the products store that the reference catalogue lacks."""

    def put(self, records: Iterable[NewSourceRecord]) -> None:
        """Record sources, each replacing the record of the same name; all or none.

        Position and time of the first record are kept.
        """
        columns = new_sources.c
        with self._database.write() as connection:
            for record in records:
                known = connection.execute(
                    sa.select(columns.ra_deg, columns.dec_deg, columns.created_mjd).where(
                        columns.name == record.name
                    )
                ).first()
                values = values_of(record, created_mjd=now_mjd())
                replace_row(connection, new_sources, values | dict(known._mapping if known else {}))

    def list(self) -> tuple[NewSourceRecord, ...]:
        """Return all of them, by name."""
        query = NEW_SOURCES.query.order_by(new_sources.c.name)
        return tuple(self._database.all(query, NEW_SOURCES.read))

    def find(self, name: str) -> NewSourceRecord | None:
        """Return one of them; None if there is none of this name."""
        query = NEW_SOURCES.query.where(new_sources.c.name == name)
        return self._database.first(query, NEW_SOURCES.read)
