r"""Text of others, made harmless before anybody reads it.

Belongs here: escaping what a terminal, a mail program or a reader of logs would obey instead of
show, and the streams and log records through which all text passes. Doesn't: what is said.

A telescope's name may hold ``ESC ] 52 ; c ; ...``, which writes into the clipboard, or
characters that let what follows be shown from right to left. They are shown as ``\x1b`` and
``\u202e``.
"""

import logging
import re
import unicodedata
from contextlib import suppress
from typing import Any, TextIO

#: Controls (also C1), formats (also bidirectional ones), halves of characters, separators of lines.
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: A colour or a weight, as our own output has on a terminal.
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def plain(text: str) -> str:
    """Return text whose control characters can be seen; ends of lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _is_obeyed(c) else _escaped(c) for c in text)


def plain_line(text: str) -> str:
    """Return text on one line whose control characters can be seen."""
    return plain(" ".join(text.split()) if "\n" in text or "\r" in text else text)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in _OBEYED


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class PlainStream:
    """A stream of text that lets no control characters through but the colours of a terminal.

    Parameters
    ----------
    stream : TextIO
        Where it goes.
    """

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
    """Return the stream that a `PlainStream` writes to; any other as it is.

    For whoever cleans its words itself and then moves a cursor.
    """
    return stream.stream if isinstance(stream, PlainStream) else stream


class _PlainRecord(logging.LogRecord):
    """A log record whose message and traceback are plain."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A message that doesn't fit its arguments is reported by whoever formats it.
        with suppress(Exception):
            self.msg, self.args = plain(self.getMessage()), None
        if isinstance(self.exc_info, tuple) and self.exc_info[0] is not None:
            self.exc_text = plain(logging.Formatter().formatException(self.exc_info))


def keep_logs_plain() -> None:
    """Let every record that this process logs from now on be plain, whichever logger has it."""
    logging.setLogRecordFactory(_PlainRecord)
