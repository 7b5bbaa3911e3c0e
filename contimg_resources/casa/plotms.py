"""Diagnostic plots by casaplotms, without a display and without FUSE.

Belongs here: starting the plotter that casaplotms ships, and drawing with it.
Doesn't: contimg's own plots of solutions (see `contimg_resources.calibration.solve.plots`).

As installed, casaplotms fails on a server: its generated protobuf code is older than the protobuf
library, its AppImage needs FUSE, and it needs a display. Therefore the CASA process sets protobuf
to run that code in Python, unpacks the AppImage once into a cache directory, starts it directly,
and uses Qt's offscreen plug-in. The plotter belongs to the process group of its caller.
"""

import os
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contimg_resources.core.errors import PlotUnavailable
from contimg_resources.core.progress import report_progress
from contimg_resources.core.surroundings import home_directory

#: Debian packages of the system libraries that the unpacked program needs.
DEBIAN_PACKAGES = (
    "libegl1 libglx0 libopengl0 libx11-6 libxext6 libxkbcommon0 libfontconfig1 libglib2.0-0"
)

_START_LIMIT_S = 60.0
_EXTRACT_LIMIT_S = 120.0
_POLL_S = 0.2


@dataclass(frozen=True)
class PlotmsPlot:
    """A plot by casaplotms."""

    vis: Path  #: MS or caltable.
    png: Path  #: Output file; replaced if it exists.
    xaxis: str  #: Axes as plotms names them, such as ``freq`` and ``amp``.
    yaxis: str  #: Axes as plotms names them, such as ``freq`` and ``amp``.
    #: Further parameters of plotms, such as ``{"coloraxis": "antenna1"}``.
    options: dict[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class PlotmsRequest:
    """Plots to draw with one plotter: the first takes about 9 s, each further one 1-2 s."""

    plots: tuple[PlotmsPlot, ...]  #: The plots.
    #: Directory to unpack the plotter into; None: ``contimg`` in the user's cache directory.
    cache: Path | None = None


def draw_plotms(request: PlotmsRequest) -> list[Path]:
    """Draw plots with casaplotms; call through `contimg_resources.casa.Casa.run`.

    Returns
    -------
    list of Path
        The PNG files.

    Raises
    ------
    PlotUnavailable
        If the plotter can't run here (naming the missing libraries) or makes no plot. The plotted
        product remains valid.
    """
    # Before the first import of protobuf in this process; see the module's docstring.
    os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    # The task requires some display; the offscreen plug-in never opens it.
    os.environ.setdefault("DISPLAY", ":0")
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    application = unpack_plotter(request.cache or default_cache())
    missing = missing_libraries(application)
    if missing:
        raise PlotUnavailable(
            f"casaplotms can't run here: {', '.join(missing)} missing "
            f"(Debian: apt-get install {DEBIAN_PACKAGES})",
            missing=missing,
        )
    with tempfile.TemporaryDirectory(prefix="plotms-") as scratch:
        process, address = _start(application, Path(scratch))
        try:
            return _draw(request.plots, address)
        finally:
            process.kill()
            process.wait()


def default_cache() -> Path:
    """Return the directory under which the plotter is unpacked."""
    home = os.environ.get("XDG_CACHE_HOME")
    own = home_directory()
    return (Path(home) if home else (own or Path(tempfile.gettempdir())) / ".cache") / "contimg"


def unpack_plotter(cache: Path) -> Path:
    """Return the unpacked plotter under `cache`; the first call unpacks it (3 s, 560 MB).

    Raises
    ------
    PlotUnavailable
        If casaplotms isn't installed or can't be unpacked.
    """
    spec = find_spec("casaplotms")
    if spec is None or spec.origin is None:
        raise PlotUnavailable("casaplotms is not installed in this environment")
    image = Path(spec.origin).parent / "__bin__" / "casaplotms-x86_64.AppImage"
    if not image.is_file():
        raise PlotUnavailable(f"casaplotms ships no plotter for this platform: no {image}")
    state = image.stat()
    home = cache / f"casaplotms-{state.st_size}-{int(state.st_mtime)}"
    if (home / "AppRun").is_file():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    report_progress("unpacking casaplotms, once")
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=cache) as scratch:
        try:
            done = subprocess.run(
                [str(image), "--appimage-extract"],
                cwd=scratch,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_EXTRACT_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PlotUnavailable(f"casaplotms can't be unpacked into {cache}: {error}") from error
        unpacked = Path(scratch) / "squashfs-root"
        if done.returncode != 0 or not (unpacked / "AppRun").is_file():
            words = done.stderr.decode(errors="replace").strip()
            raise PlotUnavailable(
                f"casaplotms can't be unpacked into {cache}: status {done.returncode} {words}"
            )
        try:
            unpacked.rename(home)
        except OSError:
            # Another process has unpacked it meanwhile; completely, because it is renamed too.
            if not (home / "AppRun").is_file():
                raise
    return home


def missing_libraries(application: Path) -> list[str]:
    """Return the shared libraries that the unpacked plotter needs and the system lacks."""
    library_dir = application / "usr" / "lib"
    binaries = (
        application / "usr" / "bin" / "casaplotms",
        library_dir / "plugins" / "platforms" / "libqoffscreen.so",
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_dir)}
    found: set[str] = set()
    for binary in binaries:
        listing = subprocess.run(
            ["ldd", str(binary)], env=environment, capture_output=True, text=True, check=False
        ).stdout
        found |= {line.split()[0] for line in listing.splitlines() if "not found" in line}
    return sorted(found)


def _start(application: Path, scratch: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """Start the plotter; return it with the address that it writes into the named pipe."""
    from casatasks import casalog
    from casatools import ctsys

    fifo = scratch / "address"
    os.mkfifo(fifo)
    log: Any = casalog
    system: Any = ctsys
    # The plotter reads ephemerides from --datapath but leap seconds from here; without them it
    # plots caltables but refuses every MS.
    resources = scratch / "casarc"
    resources.write_text(f"measures.directory: {system.rundata()}\n")
    process = subprocess.Popen(
        [
            str(application / "AppRun"),
            "--nopopups",
            f"--logfilename={log.logfile()}",
            f"--server={fifo}",
            f"--datapath={system.rundata()}",
        ],
        stdin=subprocess.DEVNULL,
        # AppRun is Perl: it would complain about locales that a minimal system lacks.
        env={**os.environ, "LC_ALL": "C", "CASARCFILES": str(resources)},
    )
    try:
        return process, _read_address(process, fifo)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _read_address(process: "subprocess.Popen[bytes]", fifo: Path) -> str:
    # Non-blocking: a plotter that dies would never open its end.
    pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        text = b""
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if select.select([pipe], [], [], _POLL_S)[0]:
                chunk = os.read(pipe, 4096)
                text += chunk
                if not chunk:
                    time.sleep(_POLL_S)
            if b"\n" in text:
                return text.split(b"\n")[0].decode().strip()
            if process.poll() is not None:
                raise PlotUnavailable(
                    f"casaplotms ended with status {process.returncode} as soon as it was started"
                )
        raise PlotUnavailable(f"casaplotms gave no address within {_START_LIMIT_S:.0f} s")
    finally:
        os.close(pipe)


def _draw(plots: tuple[PlotmsPlot, ...], address: str) -> list[Path]:
    drawn = []
    try:
        from casaplotms import plotms
        from casaplotms.private import plotmstool

        task: Any = plotms
        # Connects the task to the running plotter, instead of starting another one.
        plotmstool.stub(address)
        for number, plot in enumerate(plots):
            report_progress(f"drawing {plot.png.name}", number / len(plots))
            plot.png.parent.mkdir(parents=True, exist_ok=True)
            writing = plot.png.with_name(f".{plot.png.stem}.writing.png")
            task(
                vis=str(plot.vis),
                xaxis=plot.xaxis,
                yaxis=plot.yaxis,
                plotfile=str(writing),
                expformat="png",
                overwrite=True,
                showgui=False,
                clearplots=True,
                **plot.options,
            )
            drawn.append(_settle(writing, plot))
    except PlotUnavailable:
        raise
    except Exception as error:
        raise PlotUnavailable(
            f"casaplotms could not draw {plot.png.name if plots else 'anything'}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return drawn


def _settle(writing: Path, plot: PlotmsPlot) -> Path:
    """Rename the plot to its final name; plotms may add words to the file's name."""
    candidates = sorted(writing.parent.glob(f"{writing.stem}*.png"))
    if not candidates or candidates[0].stat().st_size == 0:
        raise PlotUnavailable(f"casaplotms drew no {plot.yaxis} against {plot.xaxis} of {plot.vis}")
    shutil.move(candidates[0], plot.png)
    return plot.png
