"""Settings, overridden by the arguments of a command.

Belongs here: overriding settings, passing settings to child processes. Doesn't: defaults.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.surroundings import keep_private
from contimg_resources.settings import Settings, load_settings
from contimg_resources.settings.whole import file_of

if TYPE_CHECKING:
    import dagster as dg

    from contimg_resources.steps.workshop import Workshop


def given_settings(
    *,
    state: Path | None = None,
    ms_dir: Path | None = None,
    uvh5_dir: Path | None = None,
    registry: str | None = None,
    products: str | None = None,
    **sections: Mapping[str, Any],
) -> Settings:
    """Return the settings of this process, overridden by the arguments of a command.

    `registry` and `products` are paths or URLs; `sections` holds by section the values of settings,
    by name. None: not given.
    """
    given: dict[str, Any] = {
        "state": None if state is None else state.absolute(),
        "ms_dir": None if ms_dir is None else ms_dir.absolute(),
        "uvh5_dir": None if uvh5_dir is None else uvh5_dir.absolute(),
        "registry_url": registry,
        "products_url": products,
    }
    found = load_settings()
    for name, values in sections.items():
        told = {k: v for k, v in values.items() if v is not None}
        given[name] = getattr(found, name).changed(**told)
    found = found.model_copy(update={k: v for k, v in given.items() if v is not None})
    keep_private(found.umask)
    return found


def opened_workshop(settings: Settings) -> "Workshop":
    """Return the workshop of an existing state directory, without making anything.

    Raises
    ------
    ContimgError
        If there is no registry or no products store.
    """
    from contimg_resources.products.store import ProductsStore
    from contimg_resources.registry.store import CalibrationRegistry
    from contimg_resources.steps.workshop import Workshop

    ProductsStore(settings.products_address, create=False).close()
    CalibrationRegistry(settings.registry_address, create=False).close()
    return Workshop.from_settings(settings)


def check_shared(settings: Settings) -> None:
    """Check that everything that several machines share is there.

    Raises
    ------
    ConfigurationError
        If a setting or a package is missing, or a store is a file.
    PlatformError
        If the broker doesn't answer.
    """
    needed = {
        "cluster.dagster_url": settings.cluster.dagster_url,
        "cluster.broker_url": settings.cluster.broker_url,
        "registry_url": settings.registry_url if _is_server(settings.registry_url) else None,
        "products_url": settings.products_url if _is_server(settings.products_url) else None,
    }
    if missing := [name for name, value in needed.items() if value is None]:
        raise ConfigurationError(
            f"several machines need {', '.join(missing)}: Dagster and both stores in Postgres, and "
            "a Redis server as broker (docs/how-to/several-machines.md)"
        )
    try:
        from contimg_assets.signs_of_life import check_broker
    except ModuleNotFoundError as lacking:
        raise ConfigurationError(
            f"several machines need the Python package {lacking.name}: install contimg[cluster]"
        ) from lacking
    check_broker()


def _is_server(url: str | None) -> bool:
    return url is not None and file_of(url) is None


@contextmanager
def rehearsed(settings: Settings, dry_run: bool) -> Iterator[Settings]:
    """Yield the settings; for ``--dry-run`` with an empty state directory that is removed again.

    The whole work is done, and nothing of it is kept.
    """
    if not dry_run:
        yield settings
        return
    with TemporaryDirectory(prefix="contimg-dry-run-") as directory:
        nowhere = {"state": Path(directory), "registry_url": None, "products_url": None}
        yield settings.model_copy(update=nowhere)


@contextmanager
def dagster_instance(settings: Settings) -> "Iterator[dg.DagsterInstance]":
    """Yield the Dagster instance of the settings; it is made if it doesn't exist."""
    import dagster as dg

    from contimg_resources.cli.platform import dagster_home

    os.environ["CONTIMG_STATE"] = str(settings.state)
    home = dagster_home() / "cluster" if settings.cluster.is_set else dagster_home()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that pass these paths to a child process, which reads all others."""
    if (config := os.environ.get("CONTIMG_CONFIG")) and not Path(config).is_file():
        raise ConfigurationError(f"CONTIMG_CONFIG names {config}, which is not a file")
    found = {"CONTIMG_STATE": str(settings.state), "CONTIMG_MS_DIR": str(settings.incoming_dir)}
    if settings.uvh5_dir is not None:
        found["CONTIMG_UVH5_DIR"] = str(settings.uvh5_dir)
    if config:
        # The children work in another directory.
        found["CONTIMG_CONFIG"] = str(Path(config).absolute())
    return found
