import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.skip(reason="no Chromium")
def test_skipped():
    pass

@pytest.mark.xfail(strict=True)
def test_known_to_fail():
    raise AssertionError

def test_passes():
    pass
"""


def outcome(tmp_path: Path, require_all: str) -> tuple[int, str]:
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "test_some.py").write_text(TESTS)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={
            **os.environ,
            "CONTIMG_REQUIRE_ALL": require_all,
            # The conftest.py imports its neighbours by the name of their folder.
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize(
    ("require_all", "status", "summary"),
    [
        ("", 0, "1 passed, 1 skipped, 1 xfailed"),
        ("1", 1, "1 passed, 1 xfailed, 1 error"),
    ],
)
def test_a_skip_fails_where_everything_was_installed(
    tmp_path: Path, require_all: str, status: int, summary: str
) -> None:
    returncode, output = outcome(tmp_path, require_all)
    assert returncode == status
    assert summary in output
