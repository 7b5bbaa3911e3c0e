"""Each option is written once: whoever needs it holds its section of the settings."""

import ast
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

import contimg_resources
from contimg_resources.calibration.apply.calibrated_ms import ENGINES as APPLY_ENGINES
from contimg_resources.calibration.apply.model import ApplyRequest
from contimg_resources.calibration.solve.model import SolveRequest
from contimg_resources.calibration.solve.solving import _ENGINES as SOLVE_ENGINES
from contimg_resources.imaging.engines.base import ENGINES as IMAGING_ENGINES
from contimg_resources.imaging.model import ImageRequest
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.mosaics.model import MosaicRequest
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.settings import (
    CalibrationSettings,
    CatalogueSettings,
    ImagingSettings,
    Settings,
)
from contimg_resources.settings.section import Section

ROOT = Path(contimg_resources.__file__).parents[1]
#: Simulations state what is in their sky and when, not how it is processed.
OUTSIDE = ("contimg_resources/settings/", "contimg_resources/simulation/")
ASKS = ("Request", "Options", "Limits", "Task")
SECTIONS: dict[str, type[Section]] = {
    type(field.default).__name__: type(field.default)
    for field in Settings.model_fields.values()
    if isinstance(field.default, Section)
}


@dataclass(frozen=True)
class Field:
    name: str
    annotation: str
    default: ast.expr | None


@dataclass(frozen=True)
class Made:
    """A class with its fields, as the source has it."""

    place: str
    name: str
    fields: tuple[Field, ...]

    @property
    def held(self) -> dict[str, type[Section]]:
        return {
            name: section
            for name, section in SECTIONS.items()
            if any(name in f.annotation for f in self.fields)
        }


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in ("contimg_resources", "contimg_assets"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            if not place.startswith(OUTSIDE):
                yield place, ast.parse(path.read_text())


@pytest.fixture(scope="module")
def classes() -> list[Made]:
    return [
        Made(
            place,
            node.name,
            tuple(
                Field(part.target.id, ast.unparse(part.annotation), part.value)
                for part in node.body
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
            ),
        )
        for place, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]


def test_who_holds_a_section_repeats_none_of_its_fields(classes: list[Made]) -> None:
    for made in classes:
        settings = {name for section in made.held.values() for name in section.model_fields}
        assert [f.name for f in made.fields if f.name in settings] == [], made.name


def test_a_request_without_a_section_has_no_default_of_its_own_for_a_setting(
    classes: list[Made],
) -> None:
    settings = {name for section in SECTIONS.values() for name in section.model_fields}
    for made in classes:
        if made.name.endswith(ASKS) and not made.held:
            with_default = [f.name for f in made.fields if f.default is not None]
            assert [name for name in with_default if name in settings] == [], made.name


def test_the_requests_of_the_stages_are_looked_at(classes: list[Made]) -> None:
    held = {c.name: set(c.held) for c in classes if c.held}
    assert held["ImageRequest"] == held["ImagingTask"] == held["MosaicRequest"]
    assert held["ImageRequest"] == {"ImagingSettings"}
    assert held["ApplyRequest"] == {"CalibrationSettings", "ImagingSettings"}
    assert held["SolveRequest"] == {"CalibrationSettings", "CatalogueSettings"}
    assert held["WindowGrid"] == {"MosaicSettings"}
    assert held["RegistrationLimits"] == {"CalibrationSettings"}


def defaults_of(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    arguments = function.args
    placed = [*arguments.posonlyargs, *arguments.args]
    yield from (
        (argument.arg, default)
        for argument, default in zip(
            placed[len(placed) - len(arguments.defaults) :], arguments.defaults, strict=True
        )
    )
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument.arg, default


def value_of(default: ast.expr) -> Any:
    try:
        return ast.literal_eval(default)
    except ValueError:
        return None


def test_no_default_of_a_setting_is_written_a_second_time(classes: list[Made]) -> None:
    known: dict[str, list[Any]] = {}
    for section in SECTIONS.values():
        for name, field in section.model_fields.items():
            # None, no text, and yes or no are defaults of anything.
            if not isinstance(field.default, bool | None) and field.default != "":
                known.setdefault(name, []).append(field.default)
    written = [(c.place, f.name, f.default) for c in classes for f in c.fields if f.default]
    for place, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                written += [(place, name, default) for name, default in defaults_of(node)]
    assert len(written) > 500
    twice = [
        f"{place}: {name} = {ast.unparse(default)}"
        for place, name, default in written
        if value_of(default) in known.get(name, [])
    ]
    assert twice == []


def test_the_settings_name_the_engines_that_exist() -> None:
    def named(section: type[Section]) -> set[str]:
        return set(get_args(section.model_fields["engine"].annotation))

    assert named(ImagingSettings) == set(IMAGING_ENGINES)
    assert named(CalibrationSettings) == set(APPLY_ENGINES) == set(SOLVE_ENGINES)


CALIBRATION = CalibrationSettings(
    engine="casa", refants=("7",), caltable_endings={CaltableType.K: (".d",)}
)
IMAGING = ImagingSettings(robust=-1, image_size=128, max_flagged_fraction=0.25, uvrange=">1klambda")
A = Path("/a")


@pytest.mark.parametrize(
    "request_",
    [
        ImageRequest(A, A, "a", IMAGING),
        ApplyRequest(A, (), A, settings=CALIBRATION, imaging=IMAGING),
        SolveRequest(
            A,
            CalibratorList().find("3C48"),
            A,
            settings=CALIBRATION,
            catalogue=CatalogueSettings(default_spectral_index=-0.8),
        ),
        MosaicRequest("61041.02083+54.6", A, 61_041.0, 61_041.1, 54.6, (), IMAGING),
    ],
    ids=lambda r: type(r).__name__,
)
def test_a_request_reaches_another_process_with_its_settings(request_: object) -> None:
    assert pickle.loads(pickle.dumps(request_)) == request_
    # As `contimg_resources.casa.Casa.run` hands an argument over.
    adapter: TypeAdapter[Any] = TypeAdapter(type(request_))
    assert adapter.validate_python(adapter.dump_python(request_, mode="json")) == request_
