"""The house's two rules, read from the source: one arrow, and heavy imports where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CASA = {"casatools", "casatasks", "casaplotms", "casacore", "casaviewer"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, *, module_level_only: bool = False) -> Iterator[tuple[str, int]]:
    """Yield (module, line); those of a function body are left out when `module_level_only`."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "." * node.level, node.lineno
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        if not (module_level_only and isinstance(node, functions)):
            pending.extend(ast.iter_child_nodes(node))


def offences(package: str, banned: set[str], *, module_level_only: bool = False) -> dict[str, int]:
    return {
        str(path.relative_to(ROOT)): line
        for path in modules(package)
        for module, line in imports(path, module_level_only=module_level_only)
        if module.partition(".")[0] in banned
    }


def test_resources_never_import_assets_except_inside_the_command_line() -> None:
    everywhere = offences("contimg_resources", {"contimg_assets"})
    assert [p for p in everywhere if not p.startswith("contimg_resources/cli/")] == []
    at_import = offences("contimg_resources", {"contimg_assets"}, module_level_only=True)
    assert at_import == {}, "even the command line imports the assets only inside a function"


def test_dagster_is_imported_only_at_a_folders_door() -> None:
    found = offences("contimg_resources", {"dagster", "dagster_graphql", "dagster_webserver"})
    allowed = [
        p for p in found if p.endswith("/resource.py") or p.startswith("contimg_resources/cli/")
    ]
    assert sorted(set(found) - set(allowed)) == []


@pytest.mark.parametrize("package", ["contimg_resources", "contimg_assets", "tests"])
def test_casa_is_never_imported_when_a_module_is(package: str) -> None:
    assert offences(package, CASA, module_level_only=True) == {}


def test_assets_hold_no_casa_and_no_sql_at_all() -> None:
    assert offences("contimg_assets", CASA | {"sqlalchemy", "sqlite3", "alembic"}) == {}


def test_relative_imports_are_not_used() -> None:
    found = {
        str(path): line
        for package in ("contimg_resources", "contimg_assets")
        for path in modules(package)
        for module, line in imports(path)
        if module.startswith(".")
    }
    assert found == {}


def test_loading_the_definitions_loads_no_casa() -> None:
    code = (
        "import sys, contimg_assets.definitions;"
        f"print(*sorted({CASA!r} & {{m.partition('.')[0] for m in sys.modules}}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == ""


def test_nothing_with_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "common", "misc"}
    names = {
        p.stem for package in ("contimg_resources", "contimg_assets") for p in modules(package)
    }
    folders = {p.parent.name for p in modules("contimg_resources")}
    assert vague.isdisjoint(names | folders)
