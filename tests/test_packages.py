"""What the linter's contracts can't see: names that say nothing, and what loading loads."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("contimg_assets", "contimg_resources")


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("contimg_assets.definitions", set()),
        ("contimg_resources.settings", {"sqlalchemy"}),
        ("contimg_resources.steps.in_casa", {"sqlalchemy"}),
    ],
)
def test_what_every_process_loads_loads_nothing_heavy(module: str, others: set[str]) -> None:
    """Code servers, run workers and CASA processes load them, again and again.

    CASA and numba take seconds, a web server and the stores a tenth of a second.
    """
    code = (
        f"import sys, {module};"
        "heavy = {'casatools', 'casatasks', 'casaplotms', 'casacore', 'casaviewer', 'numba',"
        " 'scipy', 'astropy', 'matplotlib', 'pyarrow', 'duckdb', 'uvicorn', 'starlette'};"
        f"heavy |= {others!r};"
        "print(*sorted(heavy & {m.partition('.')[0] for m in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == ""


def test_nothing_with_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "common", "misc"}
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(modules) > 200
    assert vague.isdisjoint({name for path in modules for name in (path.stem, path.parent.name)})
