"""Search the found sources of a mosaic for new ones, measure them back in time, and record them.

Belongs here: collecting lists and measurements around a mosaic, names, records, candidates.
Doesn't: which detections are new sources (see `contimg_resources.photometry.new_sources`), forced
photometry (see `measuring_back`).

The result for a source follows from all lists and measurements that the stores have now, in
whatever order their mosaics were made: the same search again changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.catalogues.store import Catalogue
from contimg_resources.core.errors import PhotometryFailed, UnreadableMeasurements, rejecting
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.core.times import mjd_day
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.derived import DerivedKind, Product
from contimg_resources.products.epochs import EpochKind, EpochRecord
from contimg_resources.products.events import (
    CandidateKind,
    CandidateRecord,
    CandidateState,
    NewSourceState,
)
from contimg_resources.products.new_sources import NewSourceRecord
from contimg_resources.steps.measuring_back import Rows, add_to_epoch, rows_at
from contimg_resources.steps.photometry import NO_CATALOGUE, Unmeasured
from contimg_resources.steps.workshop import Workshop

if TYPE_CHECKING:
    from contimg_resources.photometry.new_sources import Detections, ForcedCurve

#: Facts of a list of found sources that earlier releases don't record.
_NEEDED = ("place", "new_snr", "single_snr")
_GONE = "the lists of found sources don't have it any more"
_MOST_REASONS = 3


@dataclass(frozen=True)
class NewInMosaic:
    """The sources of a mosaic that the catalogue lacks."""

    key: str  #: The mosaic.
    sources: tuple[NewSourceRecord, ...]  #: All of them that aren't withdrawn, by name.
    named: tuple[str, ...]  #: Names of those that were recorded for the first time, or again.
    #: Candidates among them, the most significant first.
    candidates: tuple[CandidateRecord, ...]
    withdrawn: tuple[str, ...]  #: Names of sources and candidates that were withdrawn.
    n_detections: int  #: Number of isolated detections on the mosaic without a catalogue source.
    n_unconfirmed: int  #: Number of these that may be false alarms, or are beside a source.
    n_earlier: int  #: Number of other mosaics whose lists were compared.
    #: Epochs whose measurements gained rows, with the records as they are now.
    measured: Mapping[str, EpochRecord]
    failed: Mapping[str, str]  #: Lists and epochs that can't be used, with the reasons.

    @property
    def words(self) -> str:
        """Summary in one line."""
        notes = [f"{name} isn't used: {why}" for name, why in list(self.failed.items())]
        return "; ".join(
            [
                f"{len(self.sources)} sources that the catalogue lacks, {len(self.candidates)} of "
                f"them new; {len(self.named)} recorded for the first time, {len(self.withdrawn)} "
                f"withdrawn; {self.n_unconfirmed} of {self.n_detections} detections unconfirmed; "
                f"{self.n_earlier} other mosaics compared",
                *notes[:_MOST_REASONS],
            ]
        )


def find_new(
    workshop: Workshop, key: str, *, run_id: str = "", progress: Progress = no_progress
) -> NewInMosaic | Unmeasured:
    """Search the list of found sources of a mosaic for sources that the catalogue lacks.

    Those that are more than false alarms are named, measured on the mosaics of the last
    `variability.days`, and from then on with the catalogue's sources; those that earlier epochs
    exclude become candidates.

    Raises
    ------
    InvalidName
        If the key isn't a mosaic key.
    PhotometryFailed
        If the mosaic has no list of found sources, or isn't measured.
    CatalogueError
        If the reference catalogue is missing or damaged.
    """
    parse_mosaic_key(key)
    catalogue = workshop.reference_catalogue()
    if catalogue is None:
        return Unmeasured(NO_CATALOGUE)
    progress("reading the lists of found sources", 0.0)
    search = _Search(workshop, key, catalogue, run_id)
    progress("associating detections", 0.3)
    seen = search.seen()
    for number, (epoch, names) in enumerate(search.missing(seen).items()):
        progress(f"measuring on {epoch}", 0.4 + 0.5 * number / (len(search.lists) + 1))
        search.measure(epoch, [seen[name] for name in names])
    progress("comparing with earlier epochs", 0.9)
    return search.recorded(seen)


@dataclass(frozen=True)
class _Seen:
    """A source before it is judged."""

    record: NewSourceRecord  #: Its record, with earlier evidence.
    detections: "Detections"  #: Its detections in all lists.
    is_known: bool  #: Whether the store has it, and hasn't withdrawn it.


class _Search:
    """The search of one mosaic."""

    def __init__(self, workshop: Workshop, key: str, catalogue: Catalogue, run_id: str) -> None:
        self.workshop, self.key, self.catalogue, self.run_id = workshop, key, catalogue, run_id
        own = workshop.products.derived.get(DerivedKind.FOUND_SOURCES, key)
        if own is None or _lacks(own):
            raise PhotometryFailed(
                f"mosaic {key} has no list of found sources"
                + (" of this contimg" if own else "")
                + f": `contimg found {key}` makes it",
                key=key,
            )
        days = workshop.settings.variability.days
        mid_mjd = parse_mosaic_key(key)[0]
        self.start_mjd, end_mjd = mid_mjd - days, mid_mjd + days
        self.epochs = {
            epoch.epoch: epoch
            for epoch in workshop.products.mosaics.list_epochs(
                EpochKind.MOSAIC, start_mjd=self.start_mjd, end_mjd=end_mjd
            )
        }
        if key not in self.epochs:
            raise PhotometryFailed(
                f"mosaic {key} isn't measured: `contimg photometry {key}` measures it", key=key
            )
        self.place = own.parameters["place"]
        listed = workshop.products.derived.listed(
            DerivedKind.FOUND_SOURCES, start_mjd=self.start_mjd, end_mjd=end_mjd
        )
        self.lists = {p.key: p for p in listed if self._overlaps(p)}
        self.failed: dict[str, str] = {}
        self.added: dict[str, Rows] = {}
        #: HEALPix pixels that each mosaic observed.
        self.pixels: dict[str, frozenset[int]] = {}
        self.detections = self._detections()

    def _overlaps(self, product: Product) -> bool:
        if product.key not in self.epochs or _lacks(product):
            return False
        (ra, dec, radius), (own_ra, own_dec, own) = product.parameters["place"], self.place
        return bool(separation_deg(ra, dec, own_ra, own_dec) <= radius + own)

    def _detections(self) -> "Detections":
        """Return the isolated detections without a catalogue source, of epochs that are good."""
        from contimg_resources.photometry.found import read_found
        from contimg_resources.photometry.new_sources import Detections
        from contimg_resources.variability.points import transit_number

        nothing = np.empty(0)
        parts = [
            Detections(np.empty(0, np.str_), nothing, nothing.astype(np.int64), *[nothing] * 8)
        ]
        ra, dec, radius = self.place
        for name, product in self.lists.items():
            with rejecting(self.failed, name):
                columns, facts = read_found(product.path)
                self.pixels[name] = frozenset(facts["depth"]["pixel"])
                # A null of an earlier release isn't 1.
                alone = (columns["catalogue_id"] == "") & (columns["is_isolated"] == 1)
                alone &= separation_deg(ra, dec, columns["ra_deg"], columns["dec_deg"]) <= radius
                if not self.epochs[name].epoch_ok:
                    continue
                n = int(alone.sum())
                told = {f: columns[f][alone] for f in _COPIED}
                parts.append(
                    Detections(
                        transit=transit_number(told["mid_mjd"], told["ra_deg"]),
                        new_snr=np.full(n, product.parameters["new_snr"]),
                        single_snr=np.full(n, product.parameters["single_snr"]),
                        beam_arcsec=np.full(n, facts["beam_arcsec"][0]),
                        **told,
                    )
                )
        return Detections.joined(parts)

    def seen(self) -> dict[str, _Seen]:
        """Return the sources on the mosaic, by name: those of the store, and significant others."""
        from contimg_resources.photometry.new_sources import clusters

        found: dict[str, _Seen] = {}
        left = np.ones(len(self.detections), bool)
        for record in self.workshop.products.new_sources.list():
            if self._covers(self.key, record):
                error = max(record.east_error_arcsec, record.north_error_arcsec)
                mine = self.detections.of(record.ra_deg, record.dec_deg, error)
                mine = mine[left[mine]]
                left[mine] = False
                kept = record.state is not NewSourceState.WITHDRAWN
                found[record.name] = _Seen(record, self.detections.select(mine), kept)
        others = self.detections.select(left)
        for group in clusters(others):
            some = others.select(group)
            if self.key not in some.epoch or not some.is_significant:
                continue
            record = _named(some)
            if not self._is_beside(record, found.values()):
                found.setdefault(record.name, _Seen(record, some, is_known=False))
        return found

    def _is_beside(self, record: NewSourceRecord, others: Iterable[_Seen]) -> bool:
        """Return whether a source is within a beam of another one: the same, badly fitted."""
        kept = [o.record for o in others if o.is_known or o.detections.is_significant]
        arcsec = 3600 * separation_deg(
            record.ra_deg,
            record.dec_deg,
            np.array([r.ra_deg for r in kept]),
            np.array([r.dec_deg for r in kept]),
        )
        return bool((arcsec < self.detections.beam_arcsec.max()).any())

    def _covers(self, epoch: str, record: NewSourceRecord) -> bool:
        """Return whether a mosaic observed the surroundings of a source."""
        from contimg_resources.photometry.completeness import depth_pixels

        pixel = int(depth_pixels(np.array([record.ra_deg]), np.array([record.dec_deg]))[0])
        return pixel in self.pixels.get(epoch, frozenset())

    def missing(self, seen: Mapping[str, _Seen]) -> dict[str, list[str]]:
        """Return the sources that are to be measured, by epoch.

        New ones on all mosaics; known ones on this one, if it was measured before they were
        recorded.
        """
        rows = self._measured(seen)
        wanted: dict[str, list[str]] = {}
        for name, one in seen.items():
            is_new = not one.is_known and one.detections.is_significant
            there = set(rows["epoch"][rows["source_id"] == name].tolist())
            for epoch in self.lists if is_new else [self.key] * one.is_known:
                if epoch not in there and self._covers(epoch, one.record):
                    wanted.setdefault(epoch, []).append(name)
        return wanted

    def measure(self, epoch: str, some: Iterable[_Seen]) -> None:
        """Measure sources on the mosaic of an epoch; a mosaic that fails is left out."""
        from contimg_resources.photometry.model import SourceList

        records = [one.record for one in some]
        targets = SourceList.of(
            [r.name for r in records],
            np.array([r.ra_deg for r in records]),
            np.array([r.dec_deg for r in records]),
            compact=np.zeros(len(records), bool),
        )
        with rejecting(self.failed, epoch):
            self.added[epoch] = rows_at(self.workshop, self.epochs[epoch], targets, self.catalogue)

    def _measured(self, seen: Iterable[str]) -> Rows:
        """Return the measurements of sources that the epochs' files hold."""
        from contimg_resources.photometry.light_curves import measurements_of
        from contimg_resources.photometry.measurements import FORMAT, read_measurements

        root, names = self.workshop.settings.layout.photometry, list(seen)
        try:
            return measurements_of(root, names, start_mjd=self.start_mjd)
        except UnreadableMeasurements:
            # Read one file at a time, to leave out the unreadable one.
            parts: list[Rows] = [FORMAT.no_rows()]
            for name in self.lists:
                with rejecting(self.failed, name):
                    columns, _ = read_measurements(self.epochs[name].path)
                    mine = np.isin(columns["source_id"], names)
                    parts.append({n: column[mine] for n, column in columns.items()})
            return _joined(parts)

    def _curve(self, one: _Seen, rows: Rows) -> "ForcedCurve":
        from contimg_resources.photometry.new_sources import ForcedCurve, best_of_transits
        from contimg_resources.variability.points import transit_number

        with np.errstate(invalid="ignore"):
            good = (rows["source_id"] == one.record.name) & (rows["flux_error_jy"] > 0)
        good &= np.isfinite(rows["flux_jy"]) & rows["epoch_ok"].astype(bool)
        good &= np.isin(rows["epoch"], [e.epoch for e in self.epochs.values() if e.epoch_ok])
        chosen = {name: rows[name][good] for name in _OF_CURVE}
        transit = transit_number(chosen["mid_mjd"], np.full(int(good.sum()), one.record.ra_deg))
        best = best_of_transits(transit, chosen["flux_error_jy"])
        detected = one.detections
        own = [detected.select(detected.transit == t) for t in transit[best]]
        return ForcedCurve(
            epoch=chosen["epoch"][best],
            mid_mjd=chosen["mid_mjd"][best],
            flux_jy=chosen["flux_jy"][best],
            error_jy=chosen["flux_error_jy"][best],
            found_snr=np.array([d.snr.max() if len(d) else np.nan for d in own]),
            is_found=np.array([(d.snr >= d.new_snr).any() for d in own], bool),
        )

    def recorded(self, seen: Mapping[str, _Seen]) -> NewInMosaic:
        """Judge and record the sources, their measurements and candidates."""
        events = self.workshop.products.events
        rows = _joined([self._measured(seen), *self.added.values()])
        before = {c.id: c for c in events.list_candidates() if c.kind is CandidateKind.NEW_SOURCE}
        current = {n for n, c in before.items() if c.state is not CandidateState.WITHDRAWN}
        judged = {name: self._judged(one, rows) for name, one in seen.items()}
        kept = {n: r for n, r in judged.items() if r.state is not NewSourceState.WITHDRAWN}
        known = {n for n, one in seen.items() if one.is_known}
        candidates = [
            _candidate(record, before.get(name), self.run_id)
            for name, record in judged.items()
            if record.state is NewSourceState.NEW or name in current
        ]
        measured = {}
        for epoch, added in self.added.items():
            mine = np.isin(added["source_id"], list(kept))
            if mine.any():
                some = {name: column[mine] for name, column in added.items()}
                with rejecting(self.failed, epoch):
                    measured[epoch] = add_to_epoch(
                        self.workshop, self.epochs[epoch], some, self.run_id
                    )
        # A source that was withdrawn before, and that still isn't there, isn't new information.
        changed = [r for n, r in judged.items() if n in kept or n in known]
        self.workshop.products.new_sources.put(changed)
        events.put_candidates(candidates)
        own = self.detections.select(self.detections.epoch == self.key)
        named = {d for one in seen.values() for d in _places(one.detections, self.key)}
        gone = {c.id for c in candidates if c.state is CandidateState.WITHDRAWN}
        return NewInMosaic(
            key=self.key,
            sources=tuple(kept[name] for name in sorted(kept)),
            named=tuple(sorted(n for n in kept if n not in known)),
            candidates=tuple(
                sorted((c for c in candidates if c.id not in gone), key=lambda c: -c.score)
            ),
            withdrawn=tuple(sorted(gone | (known - set(kept)))),
            n_detections=len(own),
            n_unconfirmed=len(set(_places(own, self.key)) - named),
            n_earlier=len(self.lists) - 1,
            measured=measured,
            failed=self.failed,
        )

    def _judged(self, one: _Seen, rows: Rows) -> NewSourceRecord:
        from contimg_resources.photometry.new_sources import appearance_of

        record = one.record
        day = max(record.searched_day, mjd_day(parse_mosaic_key(self.key)[0]))
        is_early = one.is_known and record.evidence.first_mjd < self.start_mjd
        is_gone = not one.detections.is_significant
        # A list that can't be read may have it.
        is_unread = one.is_known and not self.lists.keys() <= self.pixels.keys()
        if is_early or (is_gone and is_unread):
            return replace(record, searched_day=day)
        if is_gone:
            evidence = replace(record.evidence, reason=_GONE)
            return replace(
                record,
                state=NewSourceState.WITHDRAWN,
                evidence=evidence,
                searched_day=day,
                run_id=self.run_id,
            )
        state, evidence = appearance_of(self._curve(one, rows))
        return replace(record, state=state, evidence=evidence, searched_day=day, run_id=self.run_id)


_COPIED = (
    *("epoch", "mid_mjd", "ra_deg", "dec_deg", "east_error_arcsec", "north_error_arcsec", "snr"),
)
_OF_CURVE = ("epoch", "mid_mjd", "flux_jy", "flux_error_jy")


def _lacks(product: Product) -> bool:
    """Return whether the record of a list lacks facts that the search needs."""
    return any(product.parameters.get(name) is None for name in _NEEDED)


def _places(detections: "Detections", key: str) -> list[tuple[float, float]]:
    own = detections.select(detections.epoch == key)
    return list(zip(own.ra_deg.tolist(), own.dec_deg.tolist(), strict=True))


def _joined(parts: list[Rows]) -> Rows:
    names = ("source_id", "epoch_ok", *_OF_CURVE)
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _named(detections: "Detections") -> NewSourceRecord:
    """Return a source at the weighted mean position of its detections."""
    from contimg_resources.photometry.found import names_of
    from contimg_resources.photometry.new_sources import PREFIX

    first = detections.ra_deg[0]
    errors = (detections.east_error_arcsec, detections.north_error_arcsec)
    east, north = (1.0 / np.maximum(e, 1e-6) ** 2 for e in errors)
    off = (detections.ra_deg - first + 180.0) % 360.0 - 180.0
    ra = (first + np.average(off, weights=east)) % 360.0
    dec = np.average(detections.dec_deg, weights=north)
    name = names_of(np.array([ra]), np.array([dec]))[0]
    return NewSourceRecord(
        name=f"{PREFIX}{name}",
        ra_deg=float(ra),
        dec_deg=float(dec),
        east_error_arcsec=float(1 / np.sqrt(east.sum())),
        north_error_arcsec=float(1 / np.sqrt(north.sum())),
        state=NewSourceState.UNCATALOGUED,
    )


def _candidate(
    record: NewSourceRecord, before: CandidateRecord | None, run_id: str
) -> CandidateRecord:
    """Return the candidate of a source; one that is no event any more is withdrawn."""
    from contimg_resources.photometry.new_sources import EXCLUDED, STILL_THERE
    from contimg_resources.products.dips import FittedDip
    from contimg_resources.variability.candidates import withdraw

    if record.state is not NewSourceState.NEW:
        assert before is not None
        return withdraw(before, record.searched_day, run_id, record.evidence.reason)
    told = record.evidence
    is_there = told.latest_jy >= STILL_THERE * told.latest_error_jy
    return CandidateRecord(
        id=record.name,
        source_id=record.name,
        ra_deg=record.ra_deg,
        dec_deg=record.dec_deg,
        state=CandidateState.IN_PROGRESS if is_there else CandidateState.COMPLETE,
        start_mjd=told.first_mjd,
        mid_mjd=told.peak_mjd,
        end_mjd=told.last_mjd,
        score=told.significance,
        parameters=FittedDip(threshold=EXCLUDED),
        searched_day=record.searched_day,
        first_day=record.searched_day if before is None else before.first_day,
        run_id=run_id,
        kind=CandidateKind.NEW_SOURCE,
    )
