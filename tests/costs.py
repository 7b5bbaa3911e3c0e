"""What a run of the tests costs: wall and CPU time of each file, at the end of the run.

Belongs here: measuring and the table. Doesn't: judging, for no test looks at the clock.

The CPU time is that of all processes below the worker, so that a platform's daemon and CASA count
for the tests that wait for them. What a file starts for others counts for the first that asks.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Files that take less than this are only in the sum of their folder.
_WORTH_A_LINE_S = 5.0
#: What a process took in its last moments is lost when nobody waits for it.
_LOOK_EVERY_S = 2.0
#: Fields of /proc/PID/stat after the command: parent, CPU times of the process and of children
#: that it waited for, and its begin.
_PARENT, _OWN, _WAITED, _BEGAN = 1, slice(11, 13), slice(13, 15), 19

#: Number and begin of a process; numbers are used again.
_Process = tuple[int, int]


@dataclass
class _Seen:
    """A process when it was last seen: who started it, and CPU seconds."""

    parent: _Process | None
    own_s: float = 0.0
    waited_s: float = 0.0


class Family:
    """A process and all below it, also those that are gone and those whose parents are.

    What is killed with its whole group is waited for by nobody, and the system forgets what it
    took: so it has to be seen before.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._seen: dict[_Process, _Seen] = {}
        self._forgotten_s = 0.0
        self._lock = threading.Lock()

    def cpu_s(self) -> float:
        """Return the CPU seconds of all, as far as they were seen."""
        with self._lock:
            self._look()
            return self._forgotten_s + sum(p.own_s + p.waited_s for p in self._seen.values())

    def look(self) -> None:
        """See who is there."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        there: dict[_Process, list[str]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            there[int(entry.name), int(fields[_BEGAN])] = fields
        gone: defaultdict[_Process | None, float] = defaultdict(float)
        for process in self._seen.keys() - there.keys():
            ancestor = self._seen[process].parent
            while ancestor is not None and ancestor not in there:
                ancestor = self._seen[ancestor].parent
            gone[ancestor] += self._seen[process].own_s + self._seen[process].waited_s
        self._add_new(there)
        for process in self._seen.keys() & there.keys():
            seen, fields = self._seen[process], there[process]
            seen.own_s = sum(map(int, fields[_OWN])) / _TICKS_PER_S
            waited_s = sum(map(int, fields[_WAITED])) / _TICKS_PER_S
            gone[process] -= waited_s - seen.waited_s
            seen.waited_s = waited_s
        self._forgotten_s += sum(max(s, 0.0) for s in gone.values())
        for process in self._seen.keys() - there.keys():
            # Those that it left keep an ancestor.
            for seen in self._seen.values():
                if seen.parent == process:
                    seen.parent = self._seen[process].parent
            del self._seen[process]

    def _add_new(self, there: dict[_Process, list[str]]) -> None:
        below = defaultdict(list)
        for process, fields in there.items():
            below[int(fields[_PARENT])].append(process)
            if process[0] == self._root:
                self._seen.setdefault(process, _Seen(None))
        known = [process for process in there if process in self._seen]
        while known:
            parent = known.pop()
            for child in below[parent[0]]:
                if child not in self._seen:
                    self._seen[child] = _Seen(parent)
                    known.append(child)


class Costs:
    """A plugin that measures each file and prints what they cost.

    Attributes
    ----------
    of_files : dict
        Wall and CPU seconds by the file's path below the folder of tests.
    """

    def __init__(self, tests: Path) -> None:
        self.of_files: dict[str, list[float]] = {}
        self._tests = tests
        self._family = Family(os.getpid())
        self._before = (time.monotonic(), self._family.cpu_s())
        self._over = threading.Event()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        # The process that hands out tests to workers runs none.
        if getattr(session.config.option, "dist", "no") == "no":
            threading.Thread(target=self._look_on, name="costs", daemon=True).start()

    def _look_on(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            self._family.look()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Any, Any]:
        result = yield
        if nextitem is None or nextitem.path != item.path:
            now = (time.monotonic(), self._family.cpu_s())
            spent = self.of_files.setdefault(str(item.path.relative_to(self._tests)), [0.0, 0.0])
            for k in (0, 1):
                spent[k] += now[k] - self._before[k]
            self._before = now
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._over.set()
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["costs"] = self.of_files

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # A worker that crashed tells nothing.
        for file, spent in getattr(node, "workeroutput", {}).get("costs", {}).items():
            known = self.of_files.get(file, [0.0, 0.0])
            self.of_files[file] = [a + b for a, b in zip(known, spent, strict=True)]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if len(self.of_files) > 1:
            terminalreporter.section("cost by folder and file: wall s, CPU s")
            for line in table(self.of_files):
                terminalreporter.write_line(line)


def table(of_files: dict[str, list[float]]) -> list[str]:
    """Return the lines of a table: what folders cost, and the files that cost most, in order.

    Parameters
    ----------
    of_files : dict
        Wall and CPU seconds by path.
    """
    folders: dict[str, list[float]] = {}
    for file, spent in of_files.items():
        its = folders.setdefault(f"{Path(file).parent}/", [0.0, 0.0])
        its[0] += spent[0]
        its[1] += spent[1]
    total = [sum(spent[k] for spent in folders.values()) for k in (0, 1)]
    lines = [_line("all", total)]
    for folder, spent in sorted(folders.items(), key=lambda f: -f[1][1]):
        lines.append(_line(folder, spent))
        inside = {f: s for f, s in of_files.items() if f"{Path(f).parent}/" == folder}
        for file, its in sorted(inside.items(), key=lambda f: -f[1][1]):
            if max(its) >= _WORTH_A_LINE_S:
                lines.append(_line(f"  {Path(file).name}", its))
    return lines


def _line(name: str, spent: list[float]) -> str:
    return f"{spent[0]:8.1f} {spent[1]:8.1f}  {name}"
