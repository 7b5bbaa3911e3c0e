"""A platform under attack: its processes, its disk, its incoming directory, commands beside it.

Belongs here: what faults and deliveries act upon. Doesn't: which of them, when
(`tests.soak.faults`, `tests.soak.agent`).
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.casa import Casa
from contimg_resources.cli.platform import free_port
from contimg_resources.core.errors import PlatformError
from contimg_resources.core.trees import remove_tree
from contimg_resources.database import now_mjd
from contimg_resources.settings import CasaSettings, Settings
from contimg_resources.simulation.night import NightSpec, simulate_night
from contimg_resources.steps.in_casa import load_engines
from tests.alerts.servers import Hook, serving
from tests.e2e.at_work import pids_of
from tests.e2e.conftest import ENVIRONMENT
from tests.soak.clock import Clock, may_move_clock
from tests.soak.settled import Delivery, Fate
from tests.up import Up

#: Size of the disk of its own that the state lies on, where one may be mounted.
_DISK = "1500m"
#: A command beside the platform hangs after so long, seconds.
_COMMAND_S = 300.0


@dataclass(frozen=True)
class Stocked:
    """A simulated observation that wasn't delivered yet."""

    ms: Path
    key: str


@dataclass
class Beside:
    """A command that an operator runs beside the platform."""

    arguments: tuple[str, ...]
    process: "subprocess.Popen[str]"
    log: Path
    since_s: float

    def trouble(self) -> str:
        """Say what is wrong with how it ended; empty when nothing is, or while it may go on."""
        status = self.process.poll()
        name = " ".join(self.arguments[:3])
        if status is None:
            hangs = time.monotonic() - self.since_s > _COMMAND_S
            return f"contimg {name} goes on for {_COMMAND_S:.0f} s" if hangs else ""
        said = self.log.read_text(errors="replace")
        # A power cut ends commands too.
        if "Traceback" in said or status not in (0, 1, 2, 3, -signal.SIGKILL):
            return f"contimg {name} ended with {status}: {said.strip()[-300:]}"
        return ""


@dataclass
class Site:
    """A platform, and what surrounds it.

    Parameters
    ----------
    root : Path
        All of it lies here.
    up : Up
        The platform's own process.
    settings : Settings
        Its settings.
    hook : Hook
        Gets its messages.
    stock : list of Stocked
        Targets to deliver, in a random order.
    calibrator : Stocked
        The calibrator observation.
    disk : bool
        Whether the state has a disk of its own.
    clock : Clock or None
        Its time of day, where that can be moved.
    deliveries : dict of str to Delivery
        What was delivered, by name.
    beside : list of Beside
        Commands beside it.
    down : bool
        Whether somebody ended the platform on purpose.
    cleanup : ExitStack
        Undone at the very end.
    """

    root: Path
    up: Up
    settings: Settings
    hook: Hook
    stock: list[Stocked]
    calibrator: Stocked
    disk: bool
    clock: Clock | None = None
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    beside: list[Beside] = field(default_factory=list)
    down: bool = False
    cleanup: ExitStack = field(default_factory=ExitStack)

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.up.state

    @property
    def incoming(self) -> Path:
        """Where MS arrive."""
        return self.settings.incoming_dir

    def deliver(
        self,
        observation: Stocked,
        fate: Fate = Fate.IMAGED,
        words: tuple[str, ...] = (),
        *,
        name: str | None = None,
        change: Callable[[Path], None] = lambda _: None,
    ) -> Path:
        """Put an MS into the incoming directory as a writer should: copied aside, then renamed.

        Parameters
        ----------
        observation : Stocked
            It.
        fate, words
            See `Delivery`.
        name : str, optional
            Its name there; its own by default.
        change : callable, optional
            Changes the copy before it appears.
        """
        name = name or observation.ms.name
        aside = self.incoming / f".{name}.copying"
        shutil.copytree(observation.ms, aside)
        change(aside)
        self.expect(Delivery(name, observation.key, fate, words))
        aside.rename(self.incoming / name)
        return self.incoming / name

    def expect(self, delivery: Delivery) -> None:
        """Note what must become of a delivery."""
        self.deliveries[delivery.name] = delivery

    def run_beside(self, *arguments: str) -> Beside:
        """Start a command beside the platform."""
        log = self.root / "beside" / f"{len(self.beside):03d}-{arguments[0]}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "contimg_resources", *arguments],
                env=self.up.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.beside.append(Beside(arguments, process, log, time.monotonic()))
        return self.beside[-1]

    def kill_up(self) -> None:
        """Kill the platform; what runs beside it goes on."""
        self.up.kill([b.process.pid for b in self.beside])

    def start_again(self) -> None:
        """Start the platform again, as a service manager does until it stays up."""
        deadline = time.monotonic() + 300
        while True:
            with suppress(PlatformError):
                self.up.again()
                self.down = False
                return
            if self.up.process.poll() is None:
                self.kill_up()
            if time.monotonic() > deadline:
                raise PlatformError(f"the platform can't be started again; see {self.up.log}")
            time.sleep(2.0)

    def close(self) -> None:
        """End all processes, and give the disk back."""
        for one in self.beside:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
        for pid in pids_of(self.state):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.up.cut_power()
        self.cleanup.close()


def environment_of_soak(root: Path, hook: Hook, engine: str) -> dict[str, str]:
    """Return the settings of the platform: quick, small, and on a disk that may be full."""
    return {
        **ENVIRONMENT,
        "CONTIMG_CALIBRATION__ENGINE": engine,
        "CONTIMG_IMAGING__SUB_BANDS": "0",
        "CONTIMG_SKY__MADE": "false",
        "CONTIMG_IMAGING__CELL_ARCSEC": "12",
        "CONTIMG_IMAGING__IMAGE_SIZE": "360",
        "CONTIMG_IMAGING__MAX_RMS_RATIO": "20",
        "CONTIMG_RETENTION__FREE_GB": "0",
        "CONTIMG_RETENTION__PAUSE_BELOW_GB": "0.05",
        "CONTIMG_RETENTION__RESERVE_MB": "1",
        "CONTIMG_ALERTS__WEBHOOK": hook.url,
        "CONTIMG_MS_DIR": str(root / "incoming"),
    }


def simulated(root: Path, n_targets: int) -> tuple[Stocked, list[Stocked]]:
    """Simulate a calibrator's transit of the last 24 hours, and targets about it."""
    casa = Casa(root / "casa" / "scratch", root / "casa" / "logs", CasaSettings(step_timeout_s=600))
    casa.open(load_engines)
    before = min(3, n_targets // 2)
    spec = NightSpec(
        after_mjd=now_mjd() - 1.0,
        n_targets=n_targets - before,
        n_targets_before=before,
        dead_antennas=("86",),
    )
    try:
        night = [
            (planned.kind, Stocked(made.ms, f"{made.mid_mjd:.5f}"))
            for planned, made in simulate_night(spec, root / "ms", casa, done_markers=False)
        ]
    finally:
        casa.close()
    (calibrator,) = (one for kind, one in night if kind == "calibrator")
    return calibrator, [one for kind, one in night if kind == "target"]


@contextmanager
def a_site(root: Path, n_targets: int, engine: str) -> Iterator[Site]:
    """Give a platform that was just started, and end all of it."""
    root.mkdir(parents=True)
    (root / "incoming").mkdir()
    calibrator, targets = simulated(root, n_targets)
    state = root / "disk" / "state"
    (root / "disk").mkdir()
    hook = Hook()
    with ExitStack() as stack:
        stack.enter_context(serving(hook))
        disk = _mounted(("-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(root / "disk")))
        if disk:
            # What is to be looked at afterwards is kept beside it.
            stack.callback(_unmount, root / "disk")
            stack.callback(_keep, state, root / "kept")
        clock = Clock.made(root) if may_move_clock() else None
        environment = environment_of_soak(root, hook, engine)
        if clock is not None:
            environment |= clock.environment
        up = Up(state, free_port(), environment)
        site = Site(
            root,
            up,
            Settings(state=state, ms_dir=root / "incoming"),
            hook,
            targets,
            calibrator,
            disk,
            clock,
        )
        stack.callback(site.close)
        up.platform.wait_until_ready(240)
        yield site


def may_mount() -> bool:
    """Tell whether file systems may be mounted here."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


def read_only(directory: Path) -> Callable[[], None] | None:
    """Let nobody write into a directory, not even root; return what gives that back."""
    if not may_mount() or not _mounted(("--bind", str(directory), str(directory))):
        return None
    if not _mounted(("-o", "remount,bind,ro", str(directory))):
        _unmount(directory)
        return None
    return lambda: _unmount(directory)


def _mounted(arguments: Sequence[str]) -> bool:
    if not may_mount():
        return False
    done = subprocess.run(("mount", *arguments), capture_output=True, text=True, check=False)
    return done.returncode == 0


def _unmount(directory: Path) -> None:
    # Lazily: somebody may have a file of it open.
    subprocess.run(("umount", "-l", str(directory)), capture_output=True, check=False)


def _keep(state: Path, kept: Path) -> None:
    """Copy what tells of the soak from a disk that goes."""
    for name in ("logs", "storage", "history", "caltables"):
        with suppress(OSError, shutil.Error):
            shutil.copytree(state / name, kept / name)
    for file in state.glob("*.*"):
        with suppress(OSError):
            shutil.copy2(file, kept / file.name)


def empty(directory: Path) -> None:
    """Remove all within a directory."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
