"""Faults that the soak injects: what each does, how it's undone, what it lets one expect.

Belongs here: one function for each. Doesn't: when which is injected (`tests.soak.agent`).

A fault returns what it did, or None where there was nothing to hit at that moment. What it leaves
behind it undoes itself; which deliveries it spoils it says by `Site.expect`.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from contimg_resources.core.trees import remove_tree
from contimg_resources.registry.model import SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from tests.e2e.at_work import parent, pids_of
from tests.hostile_trees import nested
from tests.soak.clock import may_move_clock
from tests.soak.settled import Delivery, Fate
from tests.soak.site import Site, empty, may_mount, read_only
from tests.up import kill

#: So long a fault waits for something to hit, seconds.
_PATIENCE_S = 15.0

#: A disk is full when no piece of this size fits, bytes.
_SMALLEST_BYTES = 4096

_DAEMON, _WEBSERVER, _CODE_SERVER = "dagster._daemon", "dagster_webserver", "dagster api grpc"


@dataclass(frozen=True)
class Done:
    """What a fault did.

    Parameters
    ----------
    words : str
        What.
    lasts_s : float
        After so long it is undone, seconds.
    undo : callable, optional
        Undoes it.
    """

    words: str
    lasts_s: float = 0.0
    undo: Callable[[], None] | None = None


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Parameters
    ----------
    name : str
        What it is called.
    do : callable
        Injects one.
    weight : float
        How often it comes, relative to others.
    child : str
        The child of the platform that it hits, which is started again five times in ten minutes
        at most; empty for any other.
    impossible : callable, optional
        Says why it can't be injected here; empty when it can.
    """

    name: str
    do: Callable[[Site, Random], Done | None]
    weight: float = 1.0
    child: str = ""
    impossible: Callable[[], str] | None = None


def _waited_for(find: Callable[[], list[int]]) -> list[int]:
    deadline = time.monotonic() + _PATIENCE_S
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def workers(state: Path) -> list[int]:
    """Return the processes that do a run: children of the code server that began a run."""
    servers = set(pids_of(state, _CODE_SERVER))
    found = []
    for pid in pids_of(state, "spawn_main"):
        with suppress(OSError):
            if parent(pid) in servers:
                found.append(pid)
    return found


def casa_children(state: Path) -> list[int]:
    """Return the processes of CASA."""
    return pids_of(state, "casa.child")


def _hit(
    name: str, find: Callable[[Path], list[int]], number: signal.Signals
) -> Callable[[Site, Random], Done | None]:
    def do(site: Site, rng: Random) -> Done | None:
        found = [] if site.down else _waited_for(lambda: find(site.state))
        if not found:
            return None
        pid = rng.choice(found)
        kill(pid, number)
        if number is not signal.SIGSTOP:
            return Done(f"{number.name} to {name} {pid}")
        lasts_s = rng.choice((2.0, 10.0, 20.0, 80.0))
        return Done(f"SIGSTOP to {name} {pid}", lasts_s, lambda: kill(pid, signal.SIGCONT))

    return do


def _of(command: str) -> Callable[[Path], list[int]]:
    return lambda state: pids_of(state, command)


def _kill_up(site: Site, rng: Random) -> Done | None:
    if site.down:
        return None
    site.down = True
    site.kill_up()
    return Done("contimg up killed", rng.uniform(0.0, 15.0), site.start_again)


def _stop_up(site: Site, rng: Random) -> Done | None:
    if site.down:
        return None
    process = site.up.process
    process.send_signal(signal.SIGSTOP)
    return Done(
        "SIGSTOP to contimg up",
        rng.uniform(2.0, 20.0),
        lambda: process.send_signal(signal.SIGCONT),
    )


def _cut_power(site: Site, rng: Random) -> Done | None:
    if site.down:
        return None
    site.down = True
    site.up.cut_power()
    return Done("power cut", rng.uniform(0.0, 10.0), site.start_again)


def _delete_scratch(site: Site, _: Random) -> Done | None:
    scratch = site.settings.layout.scratch

    def in_use() -> list[int]:
        return casa_children(site.state)

    if site.down or not _waited_for(in_use) or not scratch.is_dir():
        return None
    empty(scratch)
    return Done("all of scratch deleted, in use")


def _take_permission(site: Site, rng: Random) -> Done | None:
    layout = site.settings.layout
    there = [d for d in (layout.images, layout.calibrated, layout.scratch) if d.is_dir()]
    if not there:
        return None
    directory = rng.choice(there)
    give_back = read_only(directory)
    if give_back is None:
        return None
    return Done(f"nobody may write into {directory.name}", rng.uniform(5.0, 30.0), give_back)


def _fill_disk(site: Site, rng: Random) -> Done | None:
    if not site.disk:
        return None
    filling = site.state.parent / "filling"
    left_bytes = shutil.disk_usage(site.state).free
    with filling.open("ab") as file:
        # Others write meanwhile, and what doesn't fit as a whole isn't taken at all.
        while left_bytes >= _SMALLEST_BYTES:
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), left_bytes)
            except OSError:
                left_bytes //= 2
    return Done(
        f"disk filled, {shutil.disk_usage(site.state).free} bytes are free",
        rng.uniform(5.0, 40.0),
        lambda: filling.unlink(missing_ok=True),
    )


_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


def _lock_store(site: Site, rng: Random) -> Done | None:
    store = site.state / rng.choice(("products.sqlite3", "registry.sqlite3"))
    if not store.exists():
        return None
    lasts_s = 60.0
    holder = subprocess.Popen(
        [sys.executable, "-c", _LOCK, str(store), str(lasts_s)], stdout=subprocess.PIPE, text=True
    )
    said = holder.stdout.readline() if holder.stdout else ""
    if not said:
        holder.wait()
        return None

    def let_go() -> None:
        holder.kill()
        holder.wait()

    return Done(f"{store.name} locked", lasts_s, let_go)


# Deliveries ----------------------------------------------------------------------------------


def _truncate(ms: Path) -> None:
    for file in ms.glob("table.*"):
        if file.stat().st_size > 1000:
            os.truncate(file, file.stat().st_size // 2)


def _touch(ms: Path) -> None:
    for file in ms.rglob("*"):
        os.utime(file)


def _truncated(site: Site, _: Random) -> Done | None:
    if not site.stock:
        return None
    one = site.stock.pop()
    site.deliver(one, Fate.REFUSED, change=_truncate)
    return Done(f"{one.ms.name} delivered truncated")


def _taken_from(site: Site, rng: Random) -> str | None:
    """Return the name of a good delivery that is there."""
    good = [d.name for d in site.deliveries.values() if d.fate is Fate.IMAGED]
    there = sorted(name for name in good if (site.incoming / name).is_dir())
    return rng.choice(there) if there else None


def _again(site: Site, name: str, *, touched: bool) -> Done | None:
    known = site.deliveries[name]
    again = f"{name.removesuffix('.ms')}-{'other' if touched else 'again'}.ms"
    if again in site.deliveries:
        return None
    aside = site.incoming / f".{again}.copying"
    shutil.copytree(site.incoming / name, aside)
    if touched:
        _touch(aside)
    # While the first isn't registered, either of them may be taken for it.
    words = ("second delivery", "two different MeasurementSets")
    site.expect(Delivery(again, known.key, Fate.REFUSED, words))
    aside.rename(site.incoming / again)
    return Done(f"{name} delivered again as {again}" + (", with other content" * touched))


def _is_registered(site: Site, name: str) -> bool:
    from contimg_resources.products.store import ProductsStore

    store = ProductsStore(site.settings.products_address)
    try:
        return store.find_by_path(site.incoming / name) is not None
    finally:
        store.close()


def _twice(site: Site, rng: Random) -> Done | None:
    name = _taken_from(site, rng)
    return None if name is None or not _is_registered(site, name) else _again(
        site, name, touched=False
    )  # fmt: skip


def _conflicting(site: Site, rng: Random) -> Done | None:
    name = _taken_from(site, rng)
    return None if name is None or not _is_registered(site, name) else _again(
        site, name, touched=True
    )  # fmt: skip


def _replaced(site: Site, rng: Random) -> Done | None:
    name = _taken_from(site, rng)
    if name is None:
        return None
    ms, aside, old = (site.incoming / n for n in (name, f".{name}.copying", f".{name}.old"))
    shutil.copytree(ms, aside)
    _touch(aside)
    ms.rename(old)
    aside.rename(ms)
    remove_tree(old)
    return Done(f"{name} replaced")


def _deep(site: Site, rng: Random) -> Done | None:
    name = f"deep-{rng.randrange(10**6)}.ms"
    aside = site.root / "aside" / name
    aside.parent.mkdir(exist_ok=True)
    with nested(aside):
        # As whoever made it would deliver it.
        site.expect(Delivery(name, "", Fate.REFUSED, ("nested more than",)))
        aside.rename(site.incoming / name)
    site.cleanup.callback(remove_tree, site.incoming / name, ignore_errors=True)
    return Done(f"{name} delivered, 1500 directories deep")


def _huge(site: Site, rng: Random) -> Done | None:
    ms = site.incoming / f"huge-{rng.randrange(10**6)}.ms"
    site.expect(Delivery(ms.name, "", Fate.REFUSED))
    aside = site.incoming / f".{ms.name}.copying"
    aside.mkdir()
    with (aside / "table.dat").open("wb") as file:
        file.truncate(2**42)
    aside.rename(ms)
    return Done(f"{ms.name} delivered, of 4 TiB")


def _deleted(site: Site, rng: Random) -> Done | None:
    if not site.stock:
        return None
    one = site.stock.pop()
    ms = site.deliver(one, Fate.GONE)
    return Done(
        f"{ms.name} delivered, to be deleted",
        rng.uniform(1.0, 30.0),
        lambda: remove_tree(ms, ignore_errors=True),
    )


# What operators do ---------------------------------------------------------------------------


def _active_set(site: Site) -> tuple[str, list[Path]] | None:
    if not (site.state / "registry.sqlite3").exists():
        return None
    registry = CalibrationRegistry(site.settings.registry_address)
    try:
        active = registry.list_sets(status=SetStatus.ACTIVE)
        return (active[0].name, [t.path for t in active[0].tables]) if active else None
    finally:
        registry.close()


def _alter_caltable(site: Site, rng: Random) -> Done | None:
    active = _active_set(site)
    if active is None:
        return None
    name, tables = active
    file = rng.choice(tables) / "table.f0"
    if not file.is_file():
        return None
    before = file.read_bytes()
    place = rng.randrange(len(before))
    file.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])

    def put_back() -> None:
        if file.exists():
            file.write_bytes(before)

    return Done(f"{file.parent.name} of {name} altered", rng.uniform(5.0, 40.0), put_back)


def _retire(site: Site, rng: Random) -> Done | None:
    active = _active_set(site)
    if active is None or site.down or not _waited_for(lambda: workers(site.state)):
        return None
    name, _ = active
    site.run_beside(
        "registry", "retire", name, "--reason", "the soak",
        "--db", str(site.settings.registry_address),
    )  # fmt: skip
    return Done(f"{name} retired", rng.uniform(5.0, 30.0), lambda: solve_again(site))


def solve_again(site: Site) -> None:
    """Have the calibrator solved again, and what was made with the set before made again."""
    site.run_beside("reprocess", "--step", "caltable_set")


def _command(site: Site, rng: Random) -> Done | None:
    if not (site.state / "products.sqlite3").exists():
        return None
    scan = site.root / "scan"
    known = [d.key for d in site.deliveries.values() if d.fate is Fate.IMAGED]
    one = float(rng.choice(sorted(known))) if known else 0.0
    arguments = rng.choice(
        (
            ("housekeeping",),
            ("backup", str(site.root / "backup")),
            ("verify",),
            ("export",),
            ("variability",),
            ("status",),
            ("reprocess", "--only", "stale"),
            ("reprocess", "--from", f"{one - 1e-5:.5f}", "--to", f"{one + 1e-5:.5f}"),
            (
                "images", "scan", "--ms-dir", str(site.incoming), "--out-dir", str(scan),
                "--registry-db", str(site.settings.registry_address),
                "--products-db", str(scan / "products.sqlite3"),
            ),
        )
    )  # fmt: skip
    site.run_beside(*arguments)
    return Done(f"contimg {' '.join(arguments[:4])}")


def _no_mount() -> str:
    return "" if may_mount() else "no file system may be mounted here"


def _no_clock() -> str:
    return "" if may_move_clock() else "there is no C compiler"


def _move_clock(site: Site, rng: Random) -> Done | None:
    if site.clock is None or site.clock.ahead_s:
        return None
    clock, hours = site.clock, rng.choice((-2, 2, 26))
    clock.move(3600 * hours)
    return Done(f"the clock put {hours:+d} h", rng.uniform(10.0, 40.0), lambda: clock.move(0))


FAULTS = (
    Fault("kill a run worker", _hit("run worker", workers, signal.SIGKILL), 3),
    Fault("stop a run worker", _hit("run worker", workers, signal.SIGSTOP)),
    Fault("kill CASA", _hit("CASA", casa_children, signal.SIGKILL), 2),
    Fault("crash CASA", _hit("CASA", casa_children, signal.SIGSEGV)),
    Fault("stop CASA", _hit("CASA", casa_children, signal.SIGSTOP)),
    Fault("kill the daemon", _hit("daemon", _of(_DAEMON), signal.SIGKILL), 1.5, _DAEMON),
    Fault("stop the daemon", _hit("daemon", _of(_DAEMON), signal.SIGSTOP), 1, _DAEMON),
    Fault("kill the webserver", _hit("webserver", _of(_WEBSERVER), signal.SIGKILL), 1, _WEBSERVER),
    Fault("stop the webserver", _hit("webserver", _of(_WEBSERVER), signal.SIGSTOP), 1, _WEBSERVER),
    Fault(
        "kill the code server",
        _hit("code server", _of(_CODE_SERVER), signal.SIGKILL),
        1.5,
        _CODE_SERVER,
    ),
    Fault(
        "stop the code server",
        _hit("code server", _of(_CODE_SERVER), signal.SIGSTOP),
        1,
        _CODE_SERVER,
    ),
    Fault("kill up", _kill_up, 1.5),
    Fault("stop up", _stop_up),
    Fault("cut the power", _cut_power, 1.5),
    Fault("delete scratch", _delete_scratch),
    Fault("take permissions away", _take_permission, impossible=_no_mount),
    Fault("fill the disk", _fill_disk, impossible=_no_mount),
    Fault("lock a store", _lock_store, 1.5),
    Fault("move the clock", _move_clock, impossible=_no_clock),
    Fault("a truncated MS", _truncated),
    Fault("an MS twice", _twice),
    Fault("an MS of a time that is known", _conflicting),
    Fault("an MS replaced", _replaced),
    Fault("a deep MS", _deep, 0.5),
    Fault("a huge MS", _huge, 0.5),
    Fault("an MS deleted", _deleted),
    Fault("a caltable altered", _alter_caltable),
    Fault("a set retired", _retire),
    Fault("a command beside it", _command, 5),
)
