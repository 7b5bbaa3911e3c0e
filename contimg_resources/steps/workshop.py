"""What every step works with: settings, both stores, the door to CASA, known calibrators."""

from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa import Casa
from contimg_resources.catalogues.calibrator_lists import load_catalogue
from contimg_resources.catalogues.parquet import Catalogue
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.core.errors import ConfigurationError, UnreadableObservation
from contimg_resources.core.surroundings import keep_private
from contimg_resources.observations.calibrators import CalibratorCatalogue
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
        What an operator set.
    registry : CalibrationRegistry
        Caltable sets.
    products : ProductsStore
        Observations and what was made of them.
    casa : Casa
        The door to CASA.
    catalogue : CalibratorCatalogue
        Known calibrators.
    """

    settings: Settings
    registry: CalibrationRegistry
    products: ProductsStore
    casa: Casa
    catalogue: CalibratorCatalogue

    @classmethod
    def from_settings(cls, settings: Settings) -> "Workshop":
        """Open the stores that the settings name, making what isn't there yet.

        Raises
        ------
        ConfigurationError
            If the state directory can't be made, or a list of calibrators is malformed.
        SchemaMismatch
            If a database was written by a newer contimg or isn't ours.
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
        casa = Casa(
            layout.scratch,
            layout.logs,
            timeout_s=settings.casa.step_timeout_s,
            threads=settings.casa.threads,
        )
        return cls(
            settings=settings,
            registry=CalibrationRegistry.with_casa(
                settings.registry_address, casa, limits=RegistrationLimits(settings.calibration)
            ),
            products=ProductsStore(settings.products_address),
            casa=casa,
            catalogue=load_catalogue(settings.arrival.calibrator_list),
        )

    @property
    def catalogues(self) -> CatalogueStore:
        """Catalogues of sources."""
        return CatalogueStore(self.settings.layout.catalogues)

    def reference_catalogue(self) -> Catalogue | None:
        """Open the catalogue that the settings name; None when they name none.

        Raises
        ------
        CatalogueError
            If it isn't there or is damaged.
        """
        name = self.settings.catalogue.reference
        return None if name is None else self.catalogues.open(name)

    def read(self, path: Path) -> Observation:
        """Read an MS and say what it is (see `read_observation`)."""
        return read_observation(
            path,
            casa=self.casa,
            catalogue=self.catalogue,
            radius_deg=self.settings.arrival.calibrator_radius_deg,
            min_flux_jy=self.settings.arrival.calibrator_min_flux_jy,
        )

    def unchanged(self, key: str) -> Observation:
        """Return a known observation whose MS is still what was read on arrival.

        Raises
        ------
        UnreadableObservation
            If its MS is gone or has another content now.
        ProductsError
            If no observation of this key is known.
        """
        observation = self.products.observation(key)
        observation.refuse_unusable()
        if content_signature(observation.path).digest != observation.signature:
            raise UnreadableObservation(
                f"{observation.path} is no longer what arrived as observation {key}: its content "
                "changed since; it is read anew at the next look at the MS directory",
                path=str(observation.path),
                key=key,
            )
        return observation

    def active_caltables(self, observation: Observation) -> ActiveCaltables:
        """Return the set that the registry gives for an observation's mid-MJD, strip and layout.

        Raises
        ------
        NoValidCaltables
            Naming the nearest sets before and after.
        CaltableAltered
            If a table of the set is gone or changed.
        """
        return look_up(self, observation.mid_mjd, observation.declination_deg, observation.layout)
