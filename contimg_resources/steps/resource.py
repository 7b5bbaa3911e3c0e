"""The parts of the workshop as Dagster resources.

Belongs here: opening and closing each part, and bundling the parts that an asset lists. Doesn't:
their functions, nor how they are opened (see `workshop`).

A resource has no Dagster configuration: a setting typed into a launch dialog would let a user of
the web interface choose paths. All come from this process's settings (``CONTIMG_*``).
"""

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

import dagster as dg

from contimg_resources.casa import Casa
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings, load_settings
from contimg_resources.steps.workshop import (
    PARTS,
    Workshop,
    open_calibrators,
    open_casa,
    open_catalogues,
    open_registry,
    prepared,
)

R = TypeVar("R")

_SETTINGS = {"settings"}
#: Dagster's annotation of a parameter that receives a resource.
_RESOURCE: Any = dg.ResourceParam[Any]  # type: ignore[misc]


@dg.resource(config_schema={}, description="Settings of this site, from its file and environment.")
def _settings(_: dg.InitResourceContext) -> Settings:
    return prepared(load_settings())


@dg.resource(
    config_schema={},
    required_resource_keys={*_SETTINGS, "casa"},
    description="The calibration registry: caltable sets and their validity windows.",
)
def _registry(context: dg.InitResourceContext) -> Iterator[CalibrationRegistry]:
    registry = open_registry(context.resources.settings, context.resources.casa)
    try:
        yield registry
    finally:
        # A code server runs for months.
        registry.close()


@dg.resource(
    config_schema={},
    required_resource_keys=_SETTINGS,
    description="The products store: observations with states, history and products; epochs; "
    "candidates, marks, alerts.",
)
def _products(context: dg.InitResourceContext) -> Iterator[ProductsStore]:
    products = ProductsStore(context.resources.settings.products_address)
    try:
        yield products
    finally:
        products.close()


@dg.resource(
    config_schema={},
    required_resource_keys=_SETTINGS,
    description="CASA, in child processes with a time limit.",
)
def _casa(context: dg.InitResourceContext) -> Iterator[Casa]:
    casa = open_casa(context.resources.settings)
    try:
        yield casa
    finally:
        casa.close()


@dg.resource(
    config_schema={}, required_resource_keys=_SETTINGS, description="The known calibrators."
)
def _calibrators(context: dg.InitResourceContext) -> CalibratorList:
    return open_calibrators(context.resources.settings)


@dg.resource(
    config_schema={}, required_resource_keys=_SETTINGS, description="Catalogues of sources."
)
def _catalogues(context: dg.InitResourceContext) -> CatalogueStore:
    return open_catalogues(context.resources.settings)


#: Dagster's resources, by the names of the parts of a workshop.
RESOURCES: dict[str, dg.ResourceDefinition] = {
    "settings": _settings,
    "registry": _registry,
    "products": _products,
    "casa": _casa,
    "calibrators": _calibrators,
    "catalogues": _catalogues,
}


def uses(*parts: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return a decorator for the function of an asset, check, sensor or op that uses these parts.

    Dagster sees each part as a resource that the function requires; the function gets them as one
    `Workshop`, whose other parts are missing. It comes below Dagster's decorator. Parts are in
    `contimg_resources.steps.workshop.PARTS`.

    Raises
    ------
    ValueError
        If a workshop has no such part.
    """
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"a workshop has no {', '.join(sorted(unknown))}; it has {PARTS}")

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        signature = inspect.signature(function)

        def bundled(given: dict[str, Any]) -> dict[str, Any]:
            listed = {part: given.pop(part) for part in parts}
            return {**given, "workshop": Workshop.with_parts(function.__name__, **listed)}

        def call(*args: Any, **given: Any) -> Any:
            return function(*args, **bundled(given))

        def generate(*args: Any, **given: Any) -> Any:
            yield from function(*args, **bundled(given))  # type: ignore[misc]

        # Dagster treats the two kinds differently.
        plain = generate if inspect.isgeneratorfunction(function) else call
        with_workshop: Callable[..., R] = wraps(function)(plain)
        resources = [
            inspect.Parameter(p, inspect.Parameter.KEYWORD_ONLY, annotation=_RESOURCE)
            for p in parts
        ]
        others = [p for name, p in signature.parameters.items() if name != "workshop"]
        vars(with_workshop)["__signature__"] = signature.replace(parameters=[*others, *resources])
        with_workshop.__annotations__ = {
            **{n: a for n, a in function.__annotations__.items() if n != "workshop"},
            **{p.name: p.annotation for p in resources},
        }
        return with_workshop

    return decorate
