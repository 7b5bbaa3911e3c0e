"""Text that is safe in a header and on one line.

Belongs here: removing line breaks and control characters from names that others chose.
Doesn't: the messages themselves.
"""

import unicodedata

from contimg_resources.core.plain_text import plain

_MAX_CHARS = 300


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters, shortened if it is long."""
    # Also line and paragraph separators: mail programs break lines at them.
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    line = plain(" ".join(spaced.split()))
    return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}..."
