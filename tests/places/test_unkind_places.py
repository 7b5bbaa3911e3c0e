"""Commands work wherever they are put: odd names, no home, no locale, nonsense in the environment.

Each test starts real processes, since all of this is decided when one begins.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_resources.core.surroundings import ignore_impossible_threads
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from tests.conftest import TinyNight

ROOT = Path(__file__).parents[2]

#: Everything that means something in a URL, a pattern, a shell or FITS's names of files.
ODD = "s t?a#t%e 20%25 é[1]&'ü"


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A state in such a place, with both stores."""
    state = tmp_path / ODD / "state"
    state.mkdir(parents=True)
    CalibrationRegistry(str(state / "registry.sqlite3")).close()
    ProductsStore(str(state / "products.sqlite3")).close()
    return state


def contimg(
    *arguments: object, state: Path, without: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    given = {k: v for k, v in os.environ.items() if k not in without}
    return subprocess.run(
        [sys.executable, "-m", "contimg_resources", *map(str, arguments)],
        env={**given, "PYTHONPATH": str(ROOT), "CONTIMG_STATE": str(state), **environment},
        cwd=state.parent,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_a_state_directory_may_have_any_name(odd: Path) -> None:
    done = contimg("status", "--json", state=odd)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["caltable_sets"]["active"] == 0
    made = contimg("registry", "init", "--db", "a?b#c.sqlite3", state=odd)
    assert made.stdout == f"{odd.parent}/a?b#c.sqlite3\n"
    assert sorted(p.name for p in odd.parent.iterdir()) == ["a?b#c.sqlite3", "state"]
    assert sorted(p.name for p in odd.parent.parent.iterdir()) == [ODD]


def test_a_url_that_would_open_another_file_is_refused(odd: Path) -> None:
    done = contimg("registry", "list", "--db", f"sqlite:///{odd}/registry.sqlite3", state=odd)
    assert done.returncode == 2
    assert "as a path" in done.stderr
    assert not (odd.parent.parent / "s t").exists()


def test_dagsters_databases_lie_in_a_state_directory_of_any_name(odd: Path) -> None:
    code = (
        "from dagster import DagsterInstance\n"
        "with DagsterInstance.get() as instance:\n"
        "    instance.add_dynamic_partitions('x', ['60000.00000'])\n"
        "    print(instance.get_dynamic_partitions('x'), len(instance.get_runs()))\n"
    )
    environment = {"CONTIMG_STATE": str(odd), "DAGSTER_HOME": str(ROOT), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout == "['60000.00000'] 0\n", done.stderr
    assert (odd / "history" / "runs.db").is_file()
    assert sorted(p.name for p in odd.parent.iterdir()) == ["state"]


def test_names_beyond_ascii_work_without_a_locale(odd: Path) -> None:
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    listed = contimg("registry", "list", state=odd, without=(), **ascii_only)
    assert listed.returncode == 0, listed.stderr
    assert "┏━" in listed.stdout


NONSENSE = {
    "OMP_NUM_THREADS": "abc",
    "NUMBA_NUM_THREADS": "0",
    "DUCC0_NUM_THREADS": "-1",
    "OPENBLAS_NUM_THREADS": "10000",
}


def test_numbers_of_threads_that_no_machine_has_are_ignored_and_told_once(odd: Path) -> None:
    code = (
        "import contimg_resources, os, sys, subprocess\n"
        "import numpy, ducc0\n"
        "from contimg_resources.compiling import n_cores\n"
        "assert n_cores() >= 1\n"
        "ducc0.fft.c2c(numpy.ones(8) + 0j)\n"
        f"print([n for n in {list(NONSENSE)!r} if n in os.environ])\n"
        "subprocess.run([sys.executable, '-c', 'import contimg_resources'], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **NONSENSE},
        cwd=odd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert done.stderr.count("UserWarning: ignored") == 1
    for name, value in NONSENSE.items():
        assert f"{name}={value}" in done.stderr


@pytest.mark.parametrize("value", ["", "0", "-1", "abc", "1e3", "10000", "1.0", "٣", "2,0"])
def test_what_is_no_number_of_threads(value: str) -> None:
    environment = {"OMP_NUM_THREADS": value, "OTHER": value}
    with pytest.warns(UserWarning, match="ignored OMP_NUM_THREADS="):
        assert ignore_impossible_threads(environment) == (f"OMP_NUM_THREADS={value}",)
    assert environment == {"OTHER": value}


@pytest.mark.parametrize("value", ["1", "2", "2,1", " 8 "])
def test_what_is_one_is_left_as_it_is(value: str) -> None:
    environment = {"OMP_NUM_THREADS": value}
    assert ignore_impossible_threads(environment) == ()
    assert environment == {"OMP_NUM_THREADS": value}


def test_casa_reads_an_observation_in_such_a_place_for_a_user_whose_home_can_not_be_written(
    odd: Path, short_night: TinyNight
) -> None:
    ms = odd.parent / f"{ODD}.ms"
    shutil.copytree(short_night.targets[0], ms)
    done = contimg("observation", "show", ms, "--json", state=odd, HOME="/proc/none")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["path"] == str(ms)
    assert told["key"] == f"{short_night.target_truths[0].mid_mjd:.5f}"
    assert sorted(p.name for p in odd.parent.iterdir()) == [ms.name, "state"]


def test_nobody_needs_a_home(odd: Path) -> None:
    done = contimg("registry", "list", "--json", state=odd, without=("HOME",))
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.fixture
def read_only() -> Iterator[Path]:
    """An installation that can't be written into, with a home that can't either."""
    place = Path(tempfile.mkdtemp(prefix="contimg-read-only-"))
    try:
        installed = place / "site"
        skip = shutil.ignore_patterns("__pycache__", "static", "*.json")
        shutil.copytree(ROOT / "contimg_resources", installed / "contimg_resources", ignore=skip)
        (place / "home").mkdir()
        (place / "state").mkdir()
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        (place / "state").chmod(0o777)
        place.chmod(0o755)
        yield place
    finally:
        for path in (place, *place.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(place)


def _obey_permissions() -> None:
    """Let permissions hold for root too, by giving up what lets it pass over them."""
    drop_from_bounding_set, dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override)


_CALL = """
import os
import numpy as np
from contimg_resources.calibration.ms.visibility_loops import any_good
any_good(np.ones((1, 2, 2), np.complex64), np.zeros((1, 2, 2), np.bool_))
print(sum(any_good.stats.cache_hits.values()), sum(any_good.stats.cache_misses.values()))
"""


def _call(place: Path, **environment: str) -> str:
    base = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_"))}
    told = {"PYTHONPATH": str(place / "site"), "HOME": str(place / "home"), **environment}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CALL],
        env={**base, **told},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_obey_permissions,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_in_a_read_only_installation_compiled_loops_are_kept_in_the_state(read_only: Path) -> None:
    state = str(read_only / "state")
    assert _call(read_only, CONTIMG_STATE=state) == "0 1"
    assert any((read_only / "state" / "scratch" / "compiled").iterdir())
    assert _call(read_only, CONTIMG_STATE=state) == "1 0"


def test_without_any_place_loops_are_compiled_and_not_kept(read_only: Path) -> None:
    assert _call(read_only, CONTIMG_STATE=str(read_only / "home")) == "0 1"
    assert not any((read_only / "state").iterdir())
    assert not [*read_only.rglob("*.nbi")]
