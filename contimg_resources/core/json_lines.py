"""Logs as JSON lines, for programs that collect logs.

Belongs here: the form of a line, and turning it on in a process. Doesn't: choosing it (see
`contimg_resources.settings`), escaping characters (see `plain_text`).

The names are those of Dagster's own JSON lines: ``timestamp``, ``level``, ``logger``, ``event``,
``exception``.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

#: The setting's variable, which processes pass to their children.
VARIABLE = "CONTIMG_LOG_FORMAT"
JSON = "json"


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line end."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "pid": record.process,
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        elif record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, ensure_ascii=False)


class JsonStream:
    """A text stream that writes lines of other forms as JSON lines, too."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name, self._begun = stream, name, ""

    def write(self, text: str) -> int:
        """Write the lines that are complete; return the length of the text."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.startswith("{"):
                self._stream.write(f"{line}\n")
            elif line.strip():
                told = {
                    "timestamp": datetime.now(UTC).isoformat(),
                    "level": "info",
                    "logger": self._name,
                    "event": line,
                    "pid": os.getpid(),
                }
                self._stream.write(json.dumps(told, ensure_ascii=False) + "\n")
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def are_on() -> bool:
    """Return whether this process and its children write JSON lines."""
    return os.environ.get(VARIABLE, "").lower() == JSON


def turn_on() -> None:
    """Write records without a handler, and an exception that ends this process, as JSON lines.

    Handlers of libraries stay: Dagster and Celery have options of their own.
    """
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(JsonLines())
    handler.addFilter(_has_no_handler)
    # Not as the last resort: ``logging.warning()`` would add a handler of its own form.
    logging.getLogger().addHandler(handler)
    sys.excepthook = _log_end


def _has_no_handler(record: logging.LogRecord) -> bool:
    """Return whether no logger below the root has a handler for a record."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger.parent is not None:
        if logger.handlers:
            return False
        logger = logger.parent
    return True


def _log_end(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        logging.getLogger("contimg").critical(
            "an unexpected error ended the process", exc_info=(kind, error, traceback)
        )
