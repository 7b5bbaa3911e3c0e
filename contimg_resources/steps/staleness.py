"""Find stale products: made with another caltable set than now applies, or from older inputs.

Belongs here: comparing the applied set with the registry's present answer, and inputs with their
records, at each call. Doesn't: remaking anything, or storing the answer, which both stores
determine.

Adding, replacing or retiring a set changes the answer for some observations: exactly these are
found.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import ProductsError
from contimg_resources.core.keys import parse_mosaic_key
from contimg_resources.products.derived import DerivedKind, InputKind, Inputs
from contimg_resources.products.epochs import EpochKind, MosaicState
from contimg_resources.products.model import AppliedSet
from contimg_resources.steps.looking_up import Answer, look_up_records
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class Stale:
    """An observation whose products are stale."""

    key: str  #: Its partition key.
    products: tuple[str, ...]  #: The kinds of its stale products.
    applied: str  #: The applied set.
    now: str | None  #: The set that applies now; None when no set is valid.
    why: str  #: Why the applied set no longer applies.


def stale_observations(
    workshop: Workshop, *, start_mjd: float | None = None, end_mjd: float | None = None
) -> tuple[Stale, ...]:
    """Return the observations to which another set applies now, in order of time.

    Mid-MJDs are in [start, end), days.
    """
    return stale_among(
        workshop, workshop.products.applied_sets(start_mjd=start_mjd, end_mjd=end_mjd)
    )


def stale_among(workshop: Workshop, asked: Sequence[AppliedSet]) -> tuple[Stale, ...]:
    """Return those of some observations to which another set than the applied one applies now."""
    # The applied set fits the observation's layout. When it is the nearest of all layouts, it is
    # the nearest of that one, and the layout needn't be read. A damaged table doesn't change the
    # answer; `verify` finds it.
    answers = look_up_records(workshop, asked, lambda a, now: not _is_the_same(a, now))
    fates: dict[tuple[str, int], str] = {}
    return tuple(
        Stale(
            key=applied.key,
            products=applied.products,
            applied=_in_words(applied.set_name, applied.set_version, applied.borrowed),
            now=None if now is None else _in_words(now[0].name, now[0].version, now[1]),
            why=_why(workshop, applied, now, fates),
        )
        for applied, now in zip(asked, answers, strict=True)
        if not _is_the_same(applied, now)
    )


def _is_the_same(applied: AppliedSet, now: Answer) -> bool:
    return now is not None and (applied.set_name, applied.set_version, applied.borrowed) == (
        now[0].name,
        now[0].version,
        now[1],
    )


def _why(
    workshop: Workshop, applied: AppliedSet, now: Answer, fates: dict[tuple[str, int], str]
) -> str:
    """Return why the applied set no longer applies; `fates` caches the retirements by set."""
    name, version = applied.set_name, applied.set_version
    if (name, version) not in fates:
        retired = [
            e
            for e in workshop.registry.events(name=name)
            if e.version == version and e.event == "retired"
        ]
        fates[name, version] = (
            f"{name} v{version} was retired: {retired[-1].reason}" if retired else ""
        )
    if fates[name, version]:
        return fates[name, version]
    if now is None:
        return "no set is valid for it any more with the present settings"
    nearest, borrowed = now
    if borrowed != applied.borrowed:
        return "it is now within a window" if applied.borrowed else "no window contains it any more"
    age_h = 24.0 * (applied.mid_mjd - nearest.mid_mjd)
    return f"{nearest.name} v{nearest.version} is nearer, {age_h:+.2f} h"


def _in_words(name: str, version: int, borrowed: bool) -> str:
    return f"{name} v{version}" + (" (borrowed)" if borrowed else "")


#: Kind and key of a product.
Name = tuple[str, str]

_IMAGES = (InputKind.IMAGE, InputKind.IMAGE_PBCOR)
#: Longer than half the window of a mosaic, days.
_REACH_DAYS = 0.5


@dataclass(frozen=True)
class StaleProduct:
    """A stale product that was made from other products."""

    kind: str  #: Its kind.
    key: str  #: Its key.
    why: str  #: Why it is stale.


def stale_products(workshop: Workshop) -> tuple[StaleProduct, ...]:
    """Return all stale mosaics, measurements and products made from them, by kind and key."""
    chain = Lineage(workshop)
    names = [
        (str(kind), key)
        for kind in (InputKind.MOSAIC, InputKind.MEASUREMENTS, *DerivedKind)
        for key in sorted(chain.checksums(kind))
    ]
    return tuple(StaleProduct(*name, why) for name in names if (why := chain.why_stale(name)))


class Lineage:
    """The products and their inputs, as the stores record them at the time of the first look-up.

    A product is stale when one of its inputs was made again, is gone, or is stale. Only `roots`
    will be asked about, which limits the look-up of caltable sets; None: any.
    """

    def __init__(self, workshop: Workshop, roots: Iterable[Name] | None = None) -> None:
        self._workshop = workshop
        self._roots = None if roots is None else tuple(roots)
        self._checksums: dict[str, dict[str, str]] = {}
        self._inputs: dict[str, dict[str, Inputs]] = {}
        self._reasons: dict[Name, str] = {}

    def why_stale(self, name: Name) -> str:
        """Return why a product is stale; empty when it isn't."""
        if name not in self._reasons:
            self._reasons[name] = self._why_stale(name)
        return self._reasons[name]

    def checksums(self, kind: str) -> dict[str, str]:
        """Return the present checksums of all products of a kind, by key."""
        if kind not in self._checksums:
            self._checksums[kind] = self._read_checksums(kind)
        return self._checksums[kind]

    def _why_stale(self, name: Name) -> str:
        if name[0] in _IMAGES:
            return self._stale_images.get(name[1], "")
        inputs = list(self._inputs_of(name))
        for kind, key, checksum in inputs:
            if changed := self._changed(kind, key, checksum):
                return changed
        for kind, key, _ in inputs:
            if why := self.why_stale((kind, key)):
                return f"{kind} {key} is stale: {why}"
        return ""

    def _changed(self, kind: str, key: str, checksum: str) -> str:
        if not checksum:
            # The input had no record then.
            return ""
        now = self._now(kind, key)
        if now is None:
            # Images are removed by age, and a user's files at will: this makes nothing wrong.
            return "" if kind in (*_IMAGES, InputKind.FILE) else f"{kind} {key} is gone"
        if kind == InputKind.MOSAIC and self._mosaics[key][1] is not MosaicState.MADE:
            return f"mosaic {key} failed when it was made again"
        if now == checksum:
            return ""
        return f"{key} changed since" if kind == InputKind.FILE else f"{kind} {key} was made again"

    def _now(self, kind: str, key: str) -> str | None:
        if kind == InputKind.FILE:
            return _of_file(Path(key))
        if kind == InputKind.IMAGE:
            with suppress(ProductsError):
                made = self._workshop.products.artefacts(key)
                return next((a.checksum for a in made if a.kind == kind), None)
            return None
        return self.checksums(kind).get(key)

    def _inputs_of(self, name: Name) -> Iterator[tuple[str, str, str]]:
        kind, key = name
        if kind not in self._inputs:
            self._inputs[kind] = self._read_inputs(kind)
        for of_kind, checksums in self._inputs[kind].get(key, {}).items():
            for of_key, checksum in checksums.items():
                yield of_kind, of_key, checksum

    def _read_checksums(self, kind: str) -> dict[str, str]:
        if kind == InputKind.MOSAIC:
            return {key: checksum for key, (checksum, _) in self._mosaics.items()}
        if kind == InputKind.MEASUREMENTS:
            return {
                key: found[0] for epochs in self._epochs.values() for key, found in epochs.items()
            }
        if kind == InputKind.IMAGE_PBCOR:
            sources = self._workshop.products.mosaics.tile_sources(**self._span)
            return {s.key: s.checksum for s in sources if s.checksum}
        return self._workshop.products.derived.checksums(kind)

    def _read_inputs(self, kind: str) -> dict[str, Inputs]:
        if kind == InputKind.MOSAIC:
            tiles = self._workshop.products.mosaics.tiles(**self._span)
            return {key: {InputKind.IMAGE_PBCOR: found} for key, found in tiles.items()}
        if kind == InputKind.MEASUREMENTS:
            return {
                key: {of.value: {key: found[1]}}
                for of, epochs in self._epochs.items()
                for key, found in epochs.items()
            }
        return self._workshop.products.derived.inputs(kind)

    @cached_property
    def _mosaics(self) -> dict[str, tuple[str, MosaicState]]:
        return self._workshop.products.mosaics.checksums()

    @cached_property
    def _epochs(self) -> dict[EpochKind, dict[str, tuple[str, str]]]:
        return {kind: self._workshop.products.mosaics.epoch_checksums(kind) for kind in EpochKind}

    @cached_property
    def _span(self) -> dict[str, float]:
        """The times of all images that the roots were made from."""
        if self._roots is None:
            return {}
        left, seen = list(self._roots), set(self._roots)
        mids_mjd = []
        while left:
            kind, key = name = left.pop()
            if kind in (InputKind.MOSAIC, *_IMAGES):
                is_mosaic = kind == InputKind.MOSAIC
                mids_mjd.append(parse_mosaic_key(key)[0] if is_mosaic else float(key))
                continue
            new = {(str(k), i) for k, i, _ in self._inputs_of(name) if k != InputKind.FILE} - seen
            seen |= new
            left += new
        first, last = min(mids_mjd, default=0.0), max(mids_mjd, default=0.0)
        return {"start_mjd": first - _REACH_DAYS, "end_mjd": last + _REACH_DAYS}

    @cached_property
    def _stale_images(self) -> dict[str, str]:
        return {s.key: s.why for s in stale_observations(self._workshop, **self._span)}


def _of_file(path: Path) -> str | None:
    try:
        return content_checksum(path) if path.is_file() else None
    except OSError:
        return None
