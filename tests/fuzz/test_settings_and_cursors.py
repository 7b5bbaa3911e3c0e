"""What people and other programs leave for the platform: settings, cursors, prefixes."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contimg_assets import arrivals
from contimg_assets.image_sensor import build_image_sensor
from contimg_assets.runs import _parted
from contimg_resources.core.errors import (
    ConfigurationError,
    InvalidName,
    RegistrationRefused,
)
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.observations.settling import Signature, decide_settled
from contimg_resources.registry.prefix import tables_under_prefix
from contimg_resources.settings import Settings, load_settings
from contimg_resources.steps.watching import ScanCursor, scan_directory
from tests.assets.parts import parts_of
from tests.fuzz.mangling import TEXT, WORD, fuzzed, mangled, only_ours
from tests.steps.test_adding_images import made_workshop

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=4),
    max_leaves=8,
)

TOML = b"""state = "/tmp/contimg-state"
umask = "027"
[arrival]
settle_age_s = 30.0
done_suffix = ".done"
calibrator_min_flux_jy = 1.0
[calibration]
engine = "fast"
refants = ["104", "105"]
valid_before_h = 24.0
borrow = false
[calibration.caltable_endings]
K = [".kcal", ".delay"]
[imaging]
robust = 0.5
image_size = 512
[mosaics]
slot_s = 300.0
width = 12
[alerts]
webhook = "https://example.org/hook"
email_to = ["a@example.org"]
smtp_port = 25
[retention]
calibrated_ms_days = 7.0
"""


@fuzzed(100)
@given(mangled({"contimg.toml": TOML}))
@example(("contimg.toml", b"\xff\xfe"))
@example(("contimg.toml", b"a = " + b"[" * 3000))
def test_settings_are_read_or_refused(file: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        path = Path(directory) / file[0]
        path.write_bytes(file[1])
        patched.setenv("CONTIMG_CONFIG", str(path))
        with only_ours(ours=ConfigurationError):
            settings = load_settings()
            assert settings.state.is_absolute()
            assert settings.incoming_dir.is_absolute()


NAMES = sorted(
    {f"{n}__{f}" for n, field in Settings.model_fields.items()
     for f in getattr(field.annotation, "model_fields", ())} | {"state", "ms_dir", "umask"}
)  # fmt: skip
PLAIN_VALUE = TEXT.filter(lambda t: "\0" not in t and t.isprintable())


@fuzzed(100)
@given(st.sampled_from(NAMES), PLAIN_VALUE | JSON.map(lambda v: json.dumps(v).replace("\0", "")))
def test_settings_of_the_environment_are_read_or_refused(name: str, value: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(f"CONTIMG_{name.upper()}", value)
        with only_ours(ours=ConfigurationError):
            load_settings()


CURSORS = {
    "memory": json.dumps(
        {
            "growing": {"a.ms": [1, 2, 3, "d" * 64]},
            "aside": {"b.ms": "e" * 64},
            "checked": "a.ms",
            "reasons": {"b.ms": "it is none"},
            "kept_out": {"b.ms": "s /in/a.ms"},
            "told": 17,
        }
    ).encode()
}
CURSOR = st.one_of(
    mangled(CURSORS).map(lambda c: c[1].decode("utf-8", "replace")),
    JSON.map(json.dumps),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("growing", "aside", "checked", "reasons", "kept_out", "told"), JSON
        ),
    ).map(json.dumps),
    TEXT,
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = made_workshop(tmp_path_factory.mktemp("cursors"), arrival={"settle_age_s": 1e6})
    for name in ("a", "b"):
        directory = made.settings.incoming_dir / f"{name}.ms"
        directory.mkdir(parents=True)
        (directory / "table.dat").write_bytes(b"x")
    return made


@fuzzed(60)
@given(CURSOR)
@example('{"growing": ' + "[" * 100_000)
@example('{"growing": {"a.ms": ["x", null, [], {}]}}')
def test_a_look_goes_on_whatever_its_cursor_is(workshop: Any, cursor: str) -> None:
    with only_ours():
        memory = ScanCursor.from_text(cursor)
        seen = scan_directory(workshop, memory)
        assert set(seen.growing) == {"a.ms", "b.ms"}
        assert seen.words
        again = arrivals.with_last(seen.memory.to_text(), SimpleNamespace(last=3))  # type: ignore[arg-type]
        assert ScanCursor.from_text(again) == seen.memory
        assert arrivals._last_of(again) == 3
        last = arrivals._last_of(cursor)
        assert last is None or isinstance(last, int)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@fuzzed(30)
@given(CURSOR | st.integers().map(str))
def test_the_sensor_of_images_goes_on_whatever_its_cursor_is(
    workshop: Any, instance: dg.DagsterInstance, cursor: str
) -> None:
    sensor = build_image_sensor(workshop.settings.sensors)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=parts_of(workshop)
    )
    with only_ours():
        assert isinstance(sensor(context), dg.SkipReason)


@fuzzed(60)
@given(TEXT)
def test_a_run_key_has_an_attempt(text: str) -> None:
    key, attempt = _parted(text)
    assert attempt >= 0
    assert text.startswith(key)


SIGNATURES = st.builds(
    Signature, st.integers(0, 2**63), st.integers(0, 2**50), st.integers(0, 10**6), WORD
)


@fuzzed(60)
@given(st.none() | SIGNATURES, SIGNATURES, st.floats(0, 1e11), st.booleans(), st.floats(0, 1e9))
def test_settling_is_decided_with_a_reason(
    before: Signature | None, now: Signature, now_s: float, marked: bool, age_s: float
) -> None:
    assert decide_settled(before, now, now_s, marked, age_s).reason


ENDINGS = {CaltableType.K: (".mine",), CaltableType.BP: (".b",)}
FILE_NAME = (
    st.builds("{}{}".format, st.sampled_from(("p", "p_", "p.", "q")), WORD | st.sampled_from(
        (".b", "_kcal", ".mine", "_bpcal", ".B0", "_gacal", ".g", "0.b", "_2gcal", ".ms")
    ))
    .map(lambda n: n.replace("/", "_").replace("\0", "_").encode("utf-8", "replace").decode()[:80])
)  # fmt: skip
INFO = st.binary(max_size=40) | st.builds(
    "Type = {}\nSubType = {}\n".format, st.sampled_from(("Calibration", "x")) | WORD, WORD
).map(lambda t: t.encode("utf-8", "replace"))


@fuzzed(60)
@given(
    st.dictionaries(FILE_NAME, st.tuples(st.sampled_from(("dir", "table", "file", "link")), INFO)),
    st.sampled_from(("p", "p_", "q", "none/p")) | WORD,
)
def test_what_lies_under_a_prefix_is_taken_or_named(
    files: dict[str, tuple[str, bytes]], prefix: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file, (kind, info) in files.items():
            path = directory / file
            if kind == "file":
                path.write_bytes(info)
            elif kind == "link":
                path.symlink_to(path)
            else:
                path.mkdir()
                if kind == "table":
                    (path / "table.dat").write_bytes(b"")
                    (path / "table.info").write_bytes(info)
        with only_ours(ours=RegistrationRefused):
            try:
                found = tables_under_prefix(directory / prefix, ENDINGS)
            except InvalidName:
                return
            taken = {t.path.name for t in found.tables}
            assert taken
            beside = {p.name for p in directory.iterdir() if p.name.startswith(prefix)}
            assert taken | set(found.not_taken) == beside
            assert all(found.not_taken.values())
