"""The parts of the workshop as Dagster resources.

Belongs here: opening and closing each part, and bundling the parts that an asset lists. Doesn't:
their functions, nor how they are opened (see `workshop`).

A resource has no Dagster configuration: a setting typed into a launch dialog would let a user of
the web interface choose paths. All come from this process's settings (``CONTIMG_*``).
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar

import dagster as dg

from contimg_resources.core.fencing import fenced
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import load_settings
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

#: Dagster's annotation of a parameter that receives a resource.
_RESOURCE: Any = dg.ResourceParam[Any]  # type: ignore[misc]


#: Dagster's tag of the run of which a run is a repetition.
_PARENT_TAG = "dagster/parent_run_id"


def _open_products(context: dg.InitResourceContext) -> ProductsStore:
    """Open the products store for a run, which supersedes the run that it repeats."""
    run = context.run
    store = ProductsStore(
        context.resources.settings.products_address, run_id=run.run_id if run else ""
    )
    if run and (parent := run.tags.get(_PARENT_TAG)):
        store.supersede_run(parent, f"run {run.run_id} repeats it")
    return store


#: How each part of a workshop is opened, given its resource's context; the parts that it needs; and
#: its description.
_PARTS: dict[str, tuple[Callable[[dg.InitResourceContext], Any], set[str], str]] = {
    "settings": (
        lambda _: prepared(load_settings()),
        set(),
        "Settings of this site, from its file and environment.",
    ),
    "registry": (
        lambda context: open_registry(context.resources.settings, context.resources.casa),
        {"settings", "casa"},
        "The calibration registry: caltable sets and their validity windows.",
    ),
    "products": (
        _open_products,
        {"settings"},
        "The products store: observations with states, history and products; epochs; candidates, "
        "marks, alerts.",
    ),
    "casa": (
        lambda context: open_casa(context.resources.settings),
        {"settings"},
        "CASA, in child processes with a time limit.",
    ),
    "calibrators": (
        lambda context: open_calibrators(context.resources.settings),
        {"settings"},
        "The known calibrators.",
    ),
    "catalogues": (
        lambda context: open_catalogues(context.resources.settings),
        {"settings"},
        "Catalogues of sources.",
    ),
}


def _resource(part: str) -> dg.ResourceDefinition:
    open_part, needed, description = _PARTS[part]

    @dg.resource(config_schema={}, required_resource_keys=needed, description=description)
    def opened(context: dg.InitResourceContext) -> Iterator[Any]:
        found = open_part(context)
        # A run that was given up must not replace the products of the one that repeats it.
        of_run = isinstance(found, ProductsStore) and found.run_id
        try:
            with fenced(found.refuse_superseded) if of_run else nullcontext():
                yield found
        finally:
            # A code server runs for months.
            if hasattr(found, "close"):
                found.close()

    return opened


#: Dagster's resources, by the names of the parts of a workshop.
RESOURCES = {part: _resource(part) for part in PARTS}


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
