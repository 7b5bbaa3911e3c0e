r"""Escape control characters in text from other sources.

Belongs here: escaping characters that a terminal, a mail program or a log viewer would obey instead
of displaying, hiding passwords in addresses, and the streams and log records through which all text
passes. Doesn't: the text.

A telescope's name may hold ``ESC ] 52 ; c ; ...``, which writes into the clipboard, or
characters that reverse the direction of the following text. They are displayed as ``\x1b`` and
``\u202e``.
"""

import logging
import re
import unicodedata
from contextlib import suppress
from typing import Any, TextIO

from contimg_resources.core import json_lines

#: Control (also C1), format (also bidirectional), surrogate and line-separator characters.
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: A colour or a weight, as contimg's own output uses on a terminal.
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
#: The password of an address, as in ``postgresql://user:password@host``.
_PASSWORD = re.compile(r"(\b[\w+.-]+://[^\s/:@]*:)[^\s/]+(?=@)")


def without_passwords(text: str) -> str:
    """Return text in which the passwords of addresses are replaced by ``***``."""
    return _PASSWORD.sub(r"\1***", text) if "://" in text else text


def plain(text: str) -> str:
    """Return text with visible control characters; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _is_obeyed(c) else _escaped(c) for c in text)


def plain_line(text: str) -> str:
    """Return text on one line, with visible control characters."""
    return plain(" ".join(text.split()) if "\n" in text or "\r" in text else text)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in _OBEYED


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class PlainStream:
    """A text stream that escapes all control characters except the colours of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text; return its length."""
        if self.stream.isatty():
            pieces = _COLOUR.split(text)
            pieces[::2] = [plain(piece) for piece in pieces[::2]]
            self.stream.write("".join(pieces))
        else:
            self.stream.write(plain(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def unwrapped(stream: Any) -> Any:
    """Return the stream that a `PlainStream` writes to; any other stream unchanged.

    For callers that escape their text themselves and move the cursor.
    """
    return stream.stream if isinstance(stream, PlainStream) else stream


class _PlainRecord(logging.LogRecord):
    """A log record whose message and traceback are plain, and have no passwords."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The formatter reports a message that doesn't match its arguments.
        with suppress(Exception):
            self.msg, self.args = without_passwords(plain(self.getMessage())), None
        if isinstance(self.exc_info, tuple) and self.exc_info[0] is not None:
            traceback = logging.Formatter().formatException(self.exc_info)
            self.exc_text = without_passwords(plain(traceback))
            if json_lines.are_on():
                # Dagster's JSON lines have the attributes of a record, and no traceback; they would
                # have the error's own text. The logger of runs needs the error.
                self.exception = self.exc_text
                self.exc_info = self.exc_info if self.name == "dagster" else None


def keep_logs_plain() -> None:
    """Escape control characters in every further log record of this process, for all loggers.

    Passwords are hidden. Where JSON lines are asked for, they are turned on.
    """
    logging.setLogRecordFactory(_PlainRecord)
    if json_lines.are_on():
        json_lines.turn_on()
