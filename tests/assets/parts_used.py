"""Which parts of a workshop a function uses, with all functions that it passes the workshop to.

Found in the source text: whatever a function refers to counts, in every branch.
"""

import ast
from functools import cache
from pathlib import Path

from contimg_resources.steps.workshop import PARTS

ROOT = Path(__file__).parents[2]
_WORKSHOP = "contimg_resources.steps.workshop"

Function = ast.FunctionDef


@cache
def _module(name: str) -> tuple[ast.Module, dict[str, str]]:
    """Return a module's text, and the full name of each name that it imports."""
    path = ROOT / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("contimg_")
        for alias in node.names
    }
    return tree, imported


@cache
def _function(full_name: str) -> tuple[str, Function] | None:
    """Return a function and its module, by its full name; None for anything else."""
    module, _, name = full_name.rpartition(".")
    place = ROOT / module.replace(".", "/")
    if not (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()):
        return None
    tree, imported = _module(module)
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name == name:
            return module, node
    return _function(imported[name]) if name in imported else None


def _takes_workshop(function: Function) -> bool:
    arguments = function.args
    return any(
        a.arg in ("workshop", "self")
        for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    )


@cache
def parts_used(full_name: str) -> frozenset[str]:
    """Return the names of the parts that a function uses."""
    return frozenset(_parts_used(full_name, set()))


def functions_used(full_name: str) -> frozenset[str]:
    """Return the full names of all functions that get the workshop, the function included."""
    seen: set[str] = set()
    _parts_used(full_name, seen)
    return frozenset(seen)


def _parts_used(full_name: str, seen: set[str]) -> set[str]:
    found = _function(full_name)
    if found is None or full_name in seen:
        return set()
    seen.add(full_name)
    module, function = found
    _, imported = _module(module)
    used: set[str] = set()
    # Decorators name other assets, and so does whoever needs the key of one.
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and _is_workshop(node.value, module):
            if node.attr in PARTS:
                used.add(node.attr)
            else:
                used |= _parts_used(f"{_WORKSHOP}.{node.attr}", seen)
        name = None if id(node) in owners else _full_name(node, module, imported)
        callee = name and _function(name)
        if callee and _takes_workshop(callee[1]):
            used |= _parts_used(f"{callee[0]}.{callee[1].name}", seen)
    return used


def _is_workshop(node: ast.expr, module: str) -> bool:
    names = ("workshop", "self") if module == _WORKSHOP else ("workshop",)
    return (isinstance(node, ast.Name) and node.id in names) or (
        isinstance(node, ast.Attribute) and node.attr.lstrip("_") == "workshop"
    )


def _full_name(node: ast.AST, module: str, imported: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return imported.get(node.id, f"{module}.{node.id}")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = imported.get(node.value.id)
        return owner and f"{owner}.{node.attr}"
    return None
