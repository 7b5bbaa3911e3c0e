"""Output of the command line: results to stdout, everything else to stderr.

Belongs here: tables, JSON, progress, the one line of an error.
Doesn't: the content, which each command defines.
"""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from contimg_resources.casa import Progress as ReportProgress
from contimg_resources.core import json_lines
from contimg_resources.core.errors import ContimgError, in_words
from contimg_resources.core.plain_text import keep_logs_plain, plain, unwrapped

#: Characters of a line in a pipe or a log, where paths must not be folded.
_PIPE_WIDTH = 250
_BETWEEN_LINES_S = 5.0
#: It has a handler in services whose logs are JSON lines.
_log = logging.getLogger("contimg.service")


def stdout() -> Console:
    """Return a console for results."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=unwrapped(sys.stdout), width=width, highlight=False, emoji=False)


def stderr() -> Console:
    """Return a console for progress, remarks and errors."""
    width = None if sys.stderr.isatty() else _PIPE_WIDTH
    return Console(
        file=unwrapped(sys.stderr), stderr=True, width=width, highlight=False, emoji=False
    )


def jsonable(result: Any) -> Any:
    """Return dataclasses, paths and enumerations as plain JSON values; NaN becomes null."""
    plain = to_jsonable_python(result)
    return _without_nan(plain)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(result: Any) -> None:
    """Write a result as JSON to stdout."""
    sys.stdout.write(json.dumps(jsonable(result), indent=2, allow_nan=False) + "\n")


def print_lines(lines: Sequence[object]) -> None:
    """Write plain lines to stdout, without any wrapping or colour."""
    sys.stdout.writelines(f"{plain(str(line))}\n" for line in lines)


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None
) -> None:
    """Write a table to stdout; None is shown as a dash."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("-" if cell is None else _shown(str(cell)) for cell in row))
    stdout().print(table)


def _shown(text: str) -> str:
    """Return text without markup and control characters."""
    return escape(plain(text))


def remark(message: str) -> None:
    """Write a remark to stderr."""
    if not _logged(message):
        stderr().print(_shown(message), soft_wrap=True)


def write_logs(of: str) -> None:
    """Let this process, a service, write its remarks as JSON lines if the settings say so.

    Parameters
    ----------
    of : str
        ``text`` or ``json``.
    """
    if of == json_lines.JSON:
        # For its children.
        os.environ[json_lines.VARIABLE] = of
        keep_logs_plain()
        # Also what libraries and runs print.
        sys.stdout = json_lines.JsonStream(sys.stdout, "stdout")
        sys.stderr = json_lines.JsonStream(sys.stderr, "stderr")
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(json_lines.JsonLines())
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False


def _logged(message: str, level: int = logging.INFO) -> bool:
    """Write a message as a JSON line, if this process is such a service."""
    if _log.handlers:
        _log.log(level, "%s", message)
    return bool(_log.handlers)


def removed(dry_run: bool) -> str:
    """Return the verb for a removal, or for a removal that is only shown."""
    return "would remove" if dry_run else "removed"


def print_error(error: BaseException, *, as_json: bool) -> None:
    """Write one line that describes the error to stderr."""
    if isinstance(error, ContimgError):
        record, line = error.as_dict(), error.message
    else:
        record = {"type": type(error).__name__, "message": str(error), "details": {}}
        line = f"{in_words(error)} (CONTIMG_DEBUG=1 shows where)"
    if as_json:
        sys.stderr.write(json.dumps({"error": jsonable(record)}) + "\n")
    elif not _logged(line, logging.ERROR):
        stderr().print(f"[bold red]contimg:[/] {_shown(' '.join(line.split()))}", soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[ReportProgress]:
    """Show the progress of a step on stderr.

    Yields a function of (message, fraction or None), as `Casa.run` uses it. A live bar on a
    terminal; in a pipe or a log a line for each new message, but not for every step of a counter.
    """
    console = stderr()
    if _log.handlers or not console.is_terminal:
        said, said_at_s = "", -math.inf

        def say(message: str, fraction: float | None = None) -> None:
            nonlocal said, said_at_s
            too_soon = fraction is not None and time.monotonic() - said_at_s < _BETWEEN_LINES_S
            if message != said and not too_soon:
                said, said_at_s = message, time.monotonic()
                if not _logged(f"{what}: {message}"):
                    console.print(_shown(f"{what}: {message}"), soft_wrap=True)

        yield say
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(escape(what), total=None)

        def show(message: str, fraction: float | None = None) -> None:
            bars.update(
                task,
                description=_shown(f"{what}: {message}"),
                total=None if fraction is None else 1.0,
                completed=fraction or 0.0,
            )

        yield show
