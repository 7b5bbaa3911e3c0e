"""The settings, stores and tools that every step uses."""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa import Casa
from contimg_resources.catalogues.calibrator_lists import load_calibrators
from contimg_resources.catalogues.parquet import Catalogue
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.core.errors import ConfigurationError, UnreadableObservation
from contimg_resources.core.surroundings import keep_private
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import Observation
from contimg_resources.observations.reading import read_observation
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.checks import RegistrationLimits
from contimg_resources.registry.model import ActiveCaltables
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.looking_up import look_up


@dataclass(frozen=True)
class Workshop:
    """Settings, stores and tools of one process.

    Parameters
    ----------
    settings : Settings
        Settings of this site.
    registry : CalibrationRegistry
        Caltable sets.
    products : ProductsStore
        Observations and their products.
    casa : Casa
        Runs functions in CASA processes.
    calibrators : CalibratorList
        Known calibrators.
    """

    settings: Settings
    registry: CalibrationRegistry
    products: ProductsStore
    casa: Casa
    calibrators: CalibratorList

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
        layout = settings.layout
        keep_private(settings.umask)
        try:
            for directory in (settings.state, settings.incoming_dir, layout.scratch, layout.logs):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{error.filename} can't be made: {error.strerror}", path=str(error.filename)
            ) from error
        casa = Casa(layout.scratch, layout.logs, settings.casa)
        return cls(
            settings=settings,
            registry=CalibrationRegistry.with_casa(
                settings.registry_address, casa, limits=RegistrationLimits(settings.calibration)
            ),
            products=ProductsStore(settings.products_address),
            casa=casa,
            calibrators=load_calibrators(settings.arrival.calibrator_list),
        )

    @property
    def catalogues(self) -> CatalogueStore:
        """Catalogues of sources."""
        return CatalogueStore(self.settings.layout.catalogues)

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

    def unchanged(self, key: str) -> Observation:
        """Return a known observation after checking that its MS is unchanged since arrival.

        Raises
        ------
        UnreadableObservation
            If its MS is missing or its content has changed.
        ProductsError
            If there is no observation with this key.
        """
        observation = self.products.observation(key)
        observation.refuse_unusable()
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
