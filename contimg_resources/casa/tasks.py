"""Call a CASA task and check its product, not its return value.

Belongs here: the handling common to all tasks called inside a CASA process.
Doesn't: any particular task.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from contimg_resources.core.disk_space import what_refuses
from contimg_resources.core.errors import CasaError

_WORDS = 300


def call_task(task: Callable[..., Any], *, product: Path | None = None, **parameters: Any) -> Any:
    """Call a CASA task such as ``casatasks.mstransform`` inside a CASA process.

    The file or directory `product` must exist afterwards. Don't rely on the task's return value.

    Raises
    ------
    CasaError
        If the task raised, or left no product; the message ends with CASA's last SEVERE line, and
        begins with the reason if the disk can't be written.
    """
    import casatasks

    log = Path(casatasks.casalog.logfile())
    start = log.stat().st_size if log.is_file() else 0
    name = getattr(task, "__name__", None) or type(task).__name__.strip("_")
    try:
        returned = task(**parameters)
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if why := what_refuses(Path.cwd()):
            said = f"{why}: {said}"
        raise CasaError(f"CASA task {name} failed: {said[:_WORDS]}{_severe(log, start)}") from error
    if product is not None and not product.exists():
        raise CasaError(f"CASA task {name} left no {product}{_severe(log, start)}")
    return returned


def _severe(log: Path, start: int) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").splitlines()
    words = [
        line.split("\t")[-1].strip()
        for line in lines
        if "\tSEVERE\t" in line and "Leap second" not in line and "scanmap" not in line
    ]
    return f"; CASA's last words: {words[-1][:_WORDS]}" if words else ""
