"""The calibration registry as a Dagster resource.

Belongs here: handing out the plain object. Doesn't: anything that the object does.
"""

from pathlib import Path

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from contimg_resources.casa import Casa
from contimg_resources.registry.checks import RegistrationLimits
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import load_settings


class CalibrationRegistryResource(ConfigurableResource[CalibrationRegistry]):
    """Hands out a `CalibrationRegistry`."""

    url: str = Field(description="SQLAlchemy URL of the registry, or the path of a SQLite file.")
    scratch: str = Field(
        default="",
        description="Where CASA may work when tables are registered; empty: look-ups only.",
    )
    logs: str = Field(default="", description="Where CASA logs; empty: with the scratch space.")

    def create_resource(self, context: InitResourceContext) -> CalibrationRegistry:
        """Open the registry; it's made when it isn't there."""
        if not self.scratch:
            return CalibrationRegistry(self.url)
        casa = Casa(Path(self.scratch), Path(self.logs or self.scratch))
        limits = RegistrationLimits(load_settings().calibration)
        return CalibrationRegistry.with_casa(self.url, casa, limits=limits)
