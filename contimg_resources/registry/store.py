"""The calibration registry.

Belongs here: registering and retiring caltable sets. Doesn't: looking them up (see `reading`),
solving, applying, and checking a solve (`checks` decides whether a set may be registered).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contimg_resources.casa import Casa
from contimg_resources.core.checksums import StatSignature, stat_signature
from contimg_resources.core.errors import RegistrationRefused, RegistryError, RegistryUnavailable
from contimg_resources.core.naming import check_name
from contimg_resources.database import plain_json
from contimg_resources.instrument.caltables import ArrayLayout, CaltableInfo
from contimg_resources.registry.checks import (
    RegistrationLimits,
    layout_of,
    of_set,
    problems_of_statement,
    problems_of_tables,
    refuse,
    take_checksums,
    take_signatures,
    with_absolute_paths,
)
from contimg_resources.registry.model import CaltableSet, NewCaltableSet, SetStatus
from contimg_resources.registry.prefix import set_under_prefix, tables_under_prefix
from contimg_resources.registry.reading import RegistryReader
from contimg_resources.registry.recording import insert_set, retire_active
from contimg_resources.registry.tables import metadata

#: Reads the content of each caltable, in the order of the paths.
Inspector = Callable[[Sequence[Path]], list[CaltableInfo]]

_MIGRATIONS = Path(__file__).with_name("migrations")
_NO_LAYOUT = ArrayLayout((), ())


class CalibrationRegistry(RegistryReader):
    """The calibration registry in one database; safe with many processes at once.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, or the path of a SQLite file; made if missing.
    inspect : callable or None
        Reads the content of caltables; without it sets can be looked up but not registered.
    limits : RegistrationLimits
        Limits that a table must satisfy to be registered.
    create : bool
        Whether to make a missing registry; False: a `RegistryError`.
    read_only : bool
        Whether nothing is ever written.

    Raises
    ------
    SchemaMismatch
        If the database was written by a newer contimg or isn't a registry.
    """

    def __init__(
        self,
        url: str,
        *,
        inspect: Inspector | None = None,
        limits: RegistrationLimits | None = None,
        create: bool = True,
        read_only: bool = False,
    ) -> None:
        super().__init__(
            url,
            limits or RegistrationLimits(),
            what="calibration registry",
            migrations=_MIGRATIONS,
            error=RegistryError,
            create=create,
            read_only=read_only,
            unavailable=RegistryUnavailable,
            size_sql="SELECT count(*) FROM caltable_sets",
            tables=metadata,
        )
        self._inspect = inspect

    @classmethod
    def with_casa(
        cls,
        url: str,
        casa: Casa,
        *,
        limits: RegistrationLimits | None = None,
        create: bool = True,
    ) -> "CalibrationRegistry":
        """Open a registry that reads caltables in a CASA process."""

        def inspect(paths: Sequence[Path]) -> list[CaltableInfo]:
            from contimg_resources.calibration.inspection import inspect_caltables

            return casa.run(inspect_caltables, list(paths), label="inspect-caltables")

        return cls(url, inspect=inspect, limits=limits, create=create)

    # Registering -----------------------------------------------------------------------------

    def register(self, new: NewCaltableSet) -> CaltableSet:
        """Register a set, completely or not at all, and make it the active version of its name.

        Every table must be a directory that opens, holds solutions of its type, isn't mostly
        flagged or an identity, and matches the others and the layout. An active earlier version
        of the name is retired in the same transaction.

        Raises
        ------
        RegistrationRefused
            Naming all reasons.
        """
        new = with_absolute_paths(new)
        refuse(new, problems_of_statement(new))
        with of_set(new.name):
            signatures = take_signatures(new.tables)
        infos = self._inspected([t.path for t in new.tables])
        return self._register_inspected(new, infos, signatures)

    def register_prefix(
        self,
        prefix: Path,
        set_name: str,
        *,
        cal_field: str | None = None,
        refant: str | None = None,
        valid_start_mjd: float | None = None,
        valid_end_mjd: float | None = None,
        declination_deg: float | None = None,
        any_declination: bool = False,
        origin: dict[str, Any] | None = None,
    ) -> CaltableSet:
        """Register the tables with a common prefix: ``PREFIX_kcal``, ``PREFIX.b``, ...

        They must pass the same limits as the tables of a solve. The set's origin lists other files
        with the prefix, with the reasons why they were not taken.

        Parameters
        ----------
        prefix : Path
            Directory and first part of the name of the tables.
        set_name : str
            Name of the set.
        cal_field, refant : str, optional
            Calibrator field and reference antenna; None: from the tables.
        valid_start_mjd, valid_end_mjd : float, optional
            Window, MJD in days; None: from the times of the tables' solutions, extended as that of
            a solve (`calibration.valid_before_h` and `valid_after_h`).
        declination_deg : float, optional
            Declination strip, ICRS degrees; None: that of the tables' fields.
        any_declination : bool
            The set fits any strip, as for an array that tracks.
        origin : dict, optional
            JSON-able provenance, added to that from the tables.

        Raises
        ------
        RegistrationRefused
            If there are no tables or they may not be registered.
        InvalidName
            If the prefix holds ``..`` or the name isn't allowed.
        """
        check_name(set_name, "caltable set name")
        found = tables_under_prefix(prefix, self._limits.gates.caltable_endings)
        with of_set(set_name):
            signatures = take_signatures(found.tables)
        infos = self._inspected([t.path for t in found.tables])
        new = set_under_prefix(
            set_name,
            prefix,
            found,
            infos,
            cal_field=cal_field,
            refant=refant,
            valid_start_mjd=valid_start_mjd,
            valid_end_mjd=valid_end_mjd,
            declination_deg=declination_deg,
            any_declination=any_declination,
            settings=self._limits.gates,
            origin=origin or {},
        )
        refuse(new, problems_of_statement(new))
        return self._register_inspected(new, infos, signatures)

    def register_failed(self, new: NewCaltableSet, reasons: Sequence[str]) -> CaltableSet:
        """Register a failed solve with its reasons, as a version that is never applied.

        Its existing tables are recorded; an active earlier version stays active.
        """
        if not any(r.strip() for r in reasons):
            raise RegistryError(f"caltable set {new.name}: a failed set needs a reason")
        new = with_absolute_paths(new)
        present = tuple(t for t in new.tables if t.path.is_dir())
        new = replace(new, tables=present)
        # A failed solve may have any problem, but the row needs a valid window.
        refuse(new, [p for p in problems_of_statement(new) if p != "it has no tables"])
        with of_set(new.name):
            checksums = take_checksums({t.path: stat_signature(t.path) for t in present})
        layout = new.layout or _NO_LAYOUT
        return self._insert(new, layout, checksums, SetStatus.FAILED, tuple(reasons))

    def _register_inspected(
        self,
        new: NewCaltableSet,
        infos: Sequence[CaltableInfo],
        signatures: dict[Path, StatSignature],
    ) -> CaltableSet:
        layout = new.layout or layout_of(infos)
        by_type = {t.type: info for t, info in zip(new.tables, infos, strict=True)}
        refuse(new, problems_of_tables(new, by_type, layout, self._limits))
        with of_set(new.name):
            checksums = take_checksums(signatures)
        return self._insert(new, layout, checksums, SetStatus.ACTIVE, ())

    def _inspected(self, paths: list[Path]) -> list[CaltableInfo]:
        if self._inspect is None:
            raise RegistryError(
                f"{self.address} was opened for look-ups only: registering needs an inspector "
                "that opens the tables"
            )
        infos = self._inspect(paths)
        if len(infos) != len(paths):
            raise RegistryError(f"{len(paths)} tables were inspected, {len(infos)} came back")
        return infos

    def _insert(
        self,
        new: NewCaltableSet,
        layout: ArrayLayout,
        checksums: dict[Path, str],
        status: SetStatus,
        reasons: tuple[str, ...],
    ) -> CaltableSet:
        try:
            new = replace(new, quality=plain_json(new.quality), origin=plain_json(new.origin))
        except TypeError as error:
            raise RegistrationRefused(f"caltable set {new.name}: {error}") from error
        with self.write() as connection:
            set_id = insert_set(connection, new, layout, checksums, status, reasons)
            return self._loader.load(connection, [set_id])[0]

    # Retiring --------------------------------------------------------------------------------

    def retire(
        self, name: str, reason: str, version: int | None = None, *, dry_run: bool = False
    ) -> CaltableSet:
        """Retire the active version of a set, so that it is no longer applied.

        Parameters
        ----------
        name : str
            Name of the set.
        reason : str
            The reason; shown wherever the set would have applied.
        version : int, optional
            The version; None: the active one.
        dry_run : bool
            Whether only to check, and return the set as it is.

        Raises
        ------
        SetNotFound
            If there is no such set or version.
        RegistryError
            If it isn't active, or no reason is given.
        """
        if not reason.strip():
            raise RegistryError(f"caltable set {name}: retiring needs a reason")
        with self.write() as connection:
            found = self._loader.find(connection, name, version)
            if found.status is not SetStatus.ACTIVE:
                raise RegistryError(
                    f"caltable set {name} v{found.version} is not active but {found.status}: "
                    f"{'; '.join(found.reasons)}"
                )
            if dry_run:
                return found
            retire_active(connection, name, reason.strip())
            return self._loader.load(connection, [found.id])[0]
