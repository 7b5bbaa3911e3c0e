"""The docstrings say what the code says (numpydoc's own validation, on the imported objects)."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest
from numpydoc.validate import Validator, validate

import contimg_assets
import contimg_resources

#: What ruff's D rules can't see: sections that don't match the code.
CODES = {
    "GL06",  # unknown section
    "GL07",  # sections in the wrong order
    "PR01",  # parameters not documented (where there is a Parameters section)
    "PR02",  # documented parameters that don't exist
    "PR03",  # parameters in another order
    "PR04",  # a parameter without a type
    "PR07",  # a parameter without a description
    "RT03",  # a returned value without a description
}


def module_names() -> list[str]:
    names = []
    for package in (contimg_resources, contimg_assets):
        names.append(package.__name__)
        names += [
            m.name
            for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
            if not m.name.endswith("__main__") and ".migrations" not in m.name
        ]
    return names


def public_objects(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield f"{module.__name__}.{name}"
        elif inspect.isclass(value):
            yield f"{module.__name__}.{name}"
            for member, function in vars(value).items():
                if inspect.isfunction(function) and not member.startswith("_"):
                    yield f"{module.__name__}.{name}.{member}"


@pytest.mark.parametrize("name", module_names())
def test_sections_of_docstrings_match_the_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The modules of workers refuse to be loaded without.
    monkeypatch.setenv("CONTIMG_CLUSTER__BROKER_URL", "redis://localhost/0")
    wrong = []
    for path in public_objects(importlib.import_module(name)):
        documented = "Parameters\n" in (inspect.getdoc(Validator._load_obj(path)) or "")
        for code, message in validate(path)["errors"]:
            if code in CODES and (code != "PR01" or documented):
                wrong.append(f"{path}: {code} {message}")
    assert not wrong, "\n".join(wrong)
