"""The settings, stores and tools that steps use.

Belongs here: opening each of them from the settings, in the one way of assets and commands; the
bundle that is passed to steps, whole or in part. Doesn't: Dagster (see `resource`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_resources.casa import Casa
from contimg_resources.catalogues.calibrator_lists import load_calibrators
from contimg_resources.catalogues.store import Catalogue, CatalogueStore
from contimg_resources.core.errors import (
    ConfigurationError,
    DiskRefused,
    UnlistedPart,
    UnreadableObservation,
    in_words,
)
from contimg_resources.core.surroundings import keep_private
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import Observation, ObservationOrigin
from contimg_resources.observations.reading import read_observation
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.model import Artefact, ArtefactKind
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.checks import RegistrationLimits
from contimg_resources.registry.model import ActiveCaltables
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.disk_space import unwritable
from contimg_resources.steps.looking_up import look_up

#: Names of the parts of a workshop, which are also the keys of Dagster's resources.
PARTS = ("settings", "registry", "products", "casa", "calibrators", "catalogues")


def prepared(settings: Settings) -> Settings:
    """Make the directories that every part needs, readable as far as the settings allow.

    Raises
    ------
    ConfigurationError
        If the state directory can't be made.
    """
    layout = settings.layout
    keep_private(settings.umask)
    try:
        directories = [settings.state, settings.incoming_dir, layout.scratch, layout.logs]
        if settings.uvh5_dir is None:
            directories.append(layout.incoming_uvh5)
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} can't be made: {error.strerror}", path=str(error.filename)
        ) from error
    return settings


def check_host(settings: Settings) -> None:
    """Check that this host has the state directory, and stores of this contimg's schema.

    Nothing is made: on a host without the shared file system it would be a directory of its own.

    Raises
    ------
    DiskRefused
        If the state directory can't be reached, or can't be written to.
    SchemaMismatch
        If a store was written by another contimg.
    StoreUnavailable
        If a store doesn't answer now.
    """
    try:
        settings.state.stat()
        refused = unwritable(settings)
    except OSError as error:
        refused = f"{in_words(error)} (isn't the shared file system mounted?)"
    if refused:
        raise DiskRefused(refused, path=str(settings.state))
    ProductsStore(settings.products_address, read_only=True).close()
    CalibrationRegistry(settings.registry_address, read_only=True).close()


def open_casa(settings: Settings) -> Casa:
    """Return what runs functions in CASA processes, with this site's limits."""
    return Casa(settings.layout.scratch, settings.layout.logs, settings.casa)


def open_registry(
    settings: Settings, casa: Casa, *, address: str | None = None, create: bool = True
) -> CalibrationRegistry:
    """Open the registry of the settings, or another one, with this site's limits.

    Raises
    ------
    RegistryError
        If it doesn't exist and isn't to be made.
    SchemaMismatch
        If it was written by a newer contimg or holds other tables.
    """
    return CalibrationRegistry.with_casa(
        address or settings.registry_address,
        casa,
        limits=RegistrationLimits(settings.calibration),
        create=create,
    )


def open_calibrators(settings: Settings) -> CalibratorList:
    """Read the known calibrators.

    Raises
    ------
    ConfigurationError
        If the list that the settings name is malformed.
    """
    return load_calibrators(settings.arrival.calibrator_list)


def open_catalogues(settings: Settings) -> CatalogueStore:
    """Return the catalogues of the state directory."""
    return CatalogueStore(settings.layout.catalogues)


class _Unlisted:
    """Takes the place of a part that wasn't listed, and refuses whoever asks it for anything."""

    def __init__(self, part: str, user: str, listed: tuple[str, ...]) -> None:
        self._refusal = (
            f"{user} uses {part}, but lists only {', '.join(listed) or 'nothing'}: add {part!r} "
            "to its parts"
        )
        self._names = {"part": part, "user": user}

    def __getattr__(self, name: str) -> Any:
        raise UnlistedPart(self._refusal, **self._names)


@dataclass(frozen=True, repr=False)
class Workshop:
    """Settings, stores and tools of one process."""

    settings: Settings  #: Settings of this site.
    registry: CalibrationRegistry  #: Caltable sets.
    products: ProductsStore  #: Observations and their products.
    casa: Casa  #: Runs functions in CASA processes.
    calibrators: CalibratorList  #: Known calibrators.
    #: Catalogues of sources; by default those of the state directory.
    catalogues: CatalogueStore = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.catalogues is None:
            object.__setattr__(self, "catalogues", open_catalogues(self.settings))

    @classmethod
    def from_settings(cls, settings: Settings) -> "Workshop":
        """Open the stores that the settings name, and make missing ones.

        Raises
        ------
        ConfigurationError
            If the state directory can't be made, or a list of calibrators is malformed.
        SchemaMismatch
            If a database was written by a newer contimg or holds other tables.
        """
        prepared(settings)
        casa = open_casa(settings)
        return cls(
            settings=settings,
            registry=open_registry(settings, casa),
            products=ProductsStore(settings.products_address),
            casa=casa,
            calibrators=open_calibrators(settings),
            catalogues=open_catalogues(settings),
        )

    @classmethod
    def with_parts(cls, user: str, **parts: Any) -> "Workshop":
        """Return a workshop with some of its parts.

        Parameters
        ----------
        user : str
            The asset or command that uses it. When a step of it uses another part, `UnlistedPart`
            is raised, which names both.
        **parts : object
            The parts, by name.
        """
        listed = tuple(name for name in PARTS if name in parts)
        absent: dict[str, Any] = {p: _Unlisted(p, user, listed) for p in PARTS}
        return cls(**absent | parts)

    def reference_catalogue(self) -> Catalogue | None:
        """Open the catalogue named in the settings; None when none is named.

        Raises
        ------
        CatalogueError
            If it is missing or damaged.
        """
        name = self.settings.catalogue.reference
        return None if name is None else self.catalogues.open(name)

    def read(self, path: Path) -> Observation:
        """Read an MS as an observation (see `read_observation`)."""
        return read_observation(
            path,
            casa=self.casa,
            calibrators=self.calibrators,
            settings=self.settings.arrival,
        )

    def made_ms(self, observation: Observation) -> Artefact | None:
        """Return the MS that was made of an observation's present sub-band files, if it is there.

        None also for an observation that didn't arrive as sub-band files.
        """
        if observation.origin is not ObservationOrigin.SUB_BANDS:
            return None
        for made in self.products.artefacts(observation.key):
            if made.kind == ArtefactKind.MEASUREMENT_SET and made.path.is_dir():
                is_present = made.parameters.get("made_from") == observation.signature
                return made if is_present else None
        return None

    def unchanged(self, key: str) -> Observation:
        """Return a known observation after checking that its MS is unchanged since arrival.

        Raises
        ------
        UnreadableObservation
            If its MS is missing, its content has changed, or it isn't made of its present
            sub-band files.
        ProductsError
            If there is no observation with this key.
        """
        observation = self.products.observation(key)
        observation.refuse_unusable()
        if observation.origin is ObservationOrigin.SUB_BANDS:
            if self.made_ms(observation) is None:
                raise UnreadableObservation(
                    f"the MS {observation.path} isn't there, or not of the present sub-band files "
                    f"of observation {key}: materialize measurement_set (with uvh5.keep_ms, if a "
                    "caltable set is valid)",
                    path=str(observation.path),
                    key=key,
                )
            return observation
        if content_signature(observation.path).digest != observation.signature:
            raise UnreadableObservation(
                f"the content of {observation.path} has changed since it arrived as observation "
                f"{key}; the next scan of the MS directory reads it again",
                path=str(observation.path),
                key=key,
            )
        return observation

    def active_caltables(self, observation: Observation) -> ActiveCaltables:
        """Return the caltable set that applies to an observation's mid-MJD, strip and layout.

        Raises
        ------
        NoValidCaltables
            Naming the nearest sets before and after.
        CaltableAltered
            If a table of the set is missing or changed.
        """
        return look_up(self, observation.mid_mjd, observation.declination_deg, observation.layout)
