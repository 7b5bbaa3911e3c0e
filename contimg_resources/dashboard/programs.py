"""What the dashboard's server answers besides files.

Belongs here: which requests there are, opening the stores and the list of people for them. Doesn't:
the answers (see `observing`, `antenna_pages`, `beam_pages`, `mosaicked`, `caltable_sets`,
`vetting`, `annotating`, `reprocessing`, `naming`, `contimg_resources.vo`).
"""

import getpass
from collections.abc import Callable

from starlette.routing import Route

from contimg_resources.casa import Casa
from contimg_resources.dashboard.annotating import Annotating
from contimg_resources.dashboard.antenna_pages import AntennaPages
from contimg_resources.dashboard.beam_pages import BeamPages
from contimg_resources.dashboard.caltable_sets import CaltableSetPages
from contimg_resources.dashboard.mosaicked import MosaicPages
from contimg_resources.dashboard.naming import Names
from contimg_resources.dashboard.observing import ObservationPages
from contimg_resources.dashboard.people import LOOPBACK, People, log_acts, read_tokens
from contimg_resources.dashboard.reprocessing import Launcher, Reprocessing
from contimg_resources.dashboard.vetting import Vetting
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.checks import RegistrationLimits
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.settings.whole import file_of
from contimg_resources.vo.records import VoTables
from contimg_resources.vo.service import VirtualObservatory


def open_programs(
    settings: Settings,
    host: str,
    *,
    marks: bool = True,
    dagster: Callable[[], str | None],
    launcher: Launcher | None = None,
) -> list[Route]:
    """Return the routes of a state directory; none without a products store.

    Parameters
    ----------
    settings : Settings
        Settings with the store's address, and who may mark.
    host : str
        Address on which the server listens: this computer's user may mark on the loopback one.
    marks : bool
        Whether anybody may mark, annotate and reprocess.
    dagster : callable
        Returns the present address of Dagster's web interface, None if there is none.
    launcher : Launcher, optional
        The means to reprocess a day.

    Raises
    ------
    ConfigurationError
        If the tokens can't be read.
    ContimgError
        If the store can't be opened.
    """
    access = settings.dashboard
    file = file_of(settings.products_address)
    if file is not None and not file.exists():
        return []
    people = (
        People(
            access.user_header,
            {} if access.tokens is None else read_tokens(access.tokens),
            getpass.getuser() if host in LOOPBACK else None,
        )
        if marks
        else People()
    )
    log_acts(settings.layout.logs)
    store = ProductsStore(settings.products_address, create=False)

    def address() -> str | None:
        return access.dagster_url or dagster()

    return [
        *Vetting(store, people).routes,
        *Annotating(store, people).routes,
        *(Reprocessing(people, launcher).routes if launcher else ()),
        *ObservationPages(store, address).routes,
        *AntennaPages(store, settings.antennas.days).routes,
        *BeamPages(store, settings.primary_beam).routes,
        *MosaicPages(store, address).routes,
        *_set_pages(settings, store, address),
        *Names(
            settings.layout.catalogues, settings.arrival.calibrator_list, access.sesame_url
        ).routes,
        *VirtualObservatory(
            VoTables(store, settings.layout, settings.export_dir, settings.alerts.ivorn)
        ).routes,
    ]


def _set_pages(
    settings: Settings, store: ProductsStore, dagster: Callable[[], str | None]
) -> list[Route]:
    """Return the routes of caltable sets; none without a registry."""
    file = file_of(settings.registry_address)
    if file is not None and not file.exists():
        return []
    limits = RegistrationLimits(settings.calibration)
    registry = CalibrationRegistry(settings.registry_address, limits=limits, create=False)
    casa = Casa(settings.layout.scratch, settings.layout.logs, settings.casa)
    return CaltableSetPages(registry, store, casa, settings.calibration, dagster).routes
