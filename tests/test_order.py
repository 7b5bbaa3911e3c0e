from pathlib import Path

from tests.conftest import LONG_FILES


def test_the_files_that_come_first_are_there() -> None:
    here = Path(__file__).parent
    assert [name for name in LONG_FILES if not (here / name).is_file()] == []
