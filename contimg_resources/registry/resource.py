"""The calibration registry as a Dagster resource.

Belongs here: providing the plain object. Doesn't: its functions.
"""

from pathlib import Path

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from contimg_resources.casa import Casa
from contimg_resources.registry.checks import RegistrationLimits
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import load_settings


class CalibrationRegistryResource(ConfigurableResource[CalibrationRegistry]):
    """Provides a `CalibrationRegistry`."""

    url: str = Field(description="SQLAlchemy URL of the registry, or the path of a SQLite file.")
    scratch: str = Field(
        default="",
        description="Scratch directory of CASA for registering tables; empty: look-ups only.",
    )
    logs: str = Field(
        default="", description="Directory of CASA's logs; empty: the scratch directory."
    )

    def create_resource(self, context: InitResourceContext) -> CalibrationRegistry:
        """Open the registry; a missing registry is made."""
        if not self.scratch:
            return CalibrationRegistry(self.url)
        settings = load_settings()
        casa = Casa(Path(self.scratch), Path(self.logs or self.scratch), settings.casa)
        limits = RegistrationLimits(settings.calibration)
        return CalibrationRegistry.with_casa(self.url, casa, limits=limits)
