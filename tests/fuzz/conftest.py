"""How long parsers are fuzzed: a few examples in the suite, ``--minutes`` each by hand."""

import time
from collections.abc import Generator
from typing import Any

import pytest

from tests.fuzz.mangling import RAN, REFUSED


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=0.0, help="fuzz each test this long")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    until = time.monotonic() + 60 * pyfuncitem.config.getoption("minutes", 0.0)
    done = yield
    # Each call of a test of hypothesis, or of a model, which has no fixtures, draws anew.
    of_model = pyfuncitem.path.stem.endswith("_model") and not pyfuncitem._fixtureinfo.argnames
    draws = hasattr(pyfuncitem.obj, "hypothesis") or of_model
    while draws and time.monotonic() < until:
        names = pyfuncitem._fixtureinfo.argnames
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    return done


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("minutes", 0.0):
        terminalreporter.section("inputs, and how many of them were refused")
        for test, n in sorted(RAN.items()):
            terminalreporter.line(f"{n:9,} {REFUSED[test]:9,} {test}")
