"""The workshop as a Dagster resource.

Belongs here: providing a plain `Workshop` to assets and sensors. Doesn't: anything else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from contimg_resources.settings import load_settings
from contimg_resources.steps.workshop import Workshop

#: Parameter type by which an asset or a sensor requests the workshop.
WorkshopParam = dg.ResourceParam[Workshop]


class WorkshopResource(dg.ConfigurableResource[Workshop]):
    """Provides each run with a workshop from this process's settings (``CONTIMG_*``).

    It has no Dagster configuration: a setting typed into a launch dialog would let a user of
    the web interface choose paths.
    """

    def create_resource(self, context: dg.InitResourceContext) -> Workshop:
        """Return the workshop: settings, registry, products store, CASA, calibrators."""
        return Workshop.from_settings(load_settings())

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Workshop]:
        """Provide the workshop and close its stores: a code server runs for months."""
        workshop = self.create_resource(context)
        try:
            yield workshop
        finally:
            workshop.casa.close()
            workshop.registry.close()
            workshop.products.close()
