"""The table at the end of a run of the tests."""

import os
import subprocess
import sys

from tests.costs import Family, table

_BUSY = "import os, time\nwhile sum(os.times()[:2]) < 0.3: pass\n"


def test_time_of_a_child_counts_while_it_runs_and_when_it_is_gone() -> None:
    family = Family(os.getpid())
    before_s = family.cpu_s()
    child = subprocess.Popen([sys.executable, "-c", f"{_BUSY}time.sleep(60)"])
    try:
        while family.cpu_s() - before_s < 0.3:
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    assert 0.3 <= family.cpu_s() - before_s < 5, "once"


def test_time_of_a_process_that_nobody_waited_for_counts() -> None:
    family = Family(os.getpid())
    before_s = family.cpu_s()
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_BUSY!r}])"
    # Its parent is gone before it.
    with subprocess.Popen(
        [sys.executable, "-c", f"{child}; input()"], stdin=subprocess.PIPE
    ) as parent:
        while family.cpu_s() - before_s < 0.3:
            assert parent.poll() is None
        parent.kill()
    assert family.cpu_s() - before_s >= 0.3


def test_folders_and_files_come_in_the_order_of_their_cost() -> None:
    costs = {"a/short.py": [1.0, 1.0], "a/long.py": [10.0, 8.0], "b/long.py": [20.0, 30.0]}
    assert [line.split() for line in table(costs)] == [
        ["31.0", "39.0", "all"],
        ["20.0", "30.0", "b/"],
        ["20.0", "30.0", "long.py"],
        ["11.0", "9.0", "a/"],
        ["10.0", "8.0", "long.py"],
    ]
