"""Compiled functions are kept between processes, and loaded ahead where that saves time."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_FUNCTION = """
import numpy as np
from contimg_resources.calibration.ms.visibility_loops import any_good as function
from contimg_resources.compiling import load_compiled
"""
_CALL = """
function(np.ones((1, 2, 2), np.complex64), np.zeros((1, 2, 2), np.bool_))
"""
_TELL = """
print(len(function.signatures), sum(function.stats.cache_misses.values()))
"""


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT
    )
    return done.stdout.strip()


def test_what_was_compiled_before_is_loaded_without_a_call() -> None:
    _run(_FUNCTION + _CALL)
    assert _run(_FUNCTION + _TELL) == "0 0"
    n_loaded, n_compiled = _run(_FUNCTION + "list(load_compiled())" + _TELL).split()
    assert int(n_loaded) >= 1
    assert n_compiled == "0"
    assert _run(_FUNCTION + "list(load_compiled())" + _CALL + _TELL).split()[1] == "0"


def test_where_nothing_was_compiled_nothing_is_loaded_and_nothing_fails(tmp_path: Path) -> None:
    code = f"import os; os.environ['NUMBA_CACHE_DIR'] = {str(tmp_path)!r}" + _FUNCTION
    assert _run(code + "list(load_compiled())" + _TELL) == "0 0"


def test_of_two_processes_that_need_a_function_at_once_one_compiles_it(tmp_path: Path) -> None:
    code = f"import os; os.environ['NUMBA_CACHE_DIR'] = {str(tmp_path)!r}" + _FUNCTION
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code + _CALL + _TELL], stdout=subprocess.PIPE, cwd=_ROOT
        )
        for _ in range(2)
    ]
    told = [process.communicate()[0].split() for process in both]
    assert sorted(told) == [[b"1", b"0"], [b"1", b"1"]]
