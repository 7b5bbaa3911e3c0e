"""The interface of channels, attached files, failures, and text that is safe in a header.

Belongs here: the parts that all channels share; removing line breaks and control characters from
names that others chose. Doesn't: any protocol, the messages themselves.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contimg_resources.core.plain_text import plain

_MAX_CHARS = 300


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters, shortened if it is long."""
    # Also line and paragraph separators: mail programs break lines at them.
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    line = plain(" ".join(spaced.split()))
    return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}..."


#: Time after which a server without an answer is given up, seconds.
TIMEOUT_S = 10.0

_HIDDEN = "***"


@dataclass(frozen=True)
class Failure:
    """Reason why a delivery wasn't confirmed."""

    reason: str  #: One sentence, without secrets.
    #: Whether the message certainly wasn't delivered. If the connection failed after everything was
    #: sent, this is unknown, and the delivery isn't repeated.
    certain: bool = True


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a message."""

    name: str  #: Name of the file.
    media_type: str  #: ``application/json`` or another.
    data: bytes  #: Its content.


class Channel(Protocol):
    """A channel for messages."""

    @property
    def name(self) -> str:
        """Name of the channel, in records and messages."""
        ...

    def deliver(
        self,
        subject: str,
        text: str,
        *,
        kind: str,
        key: str,
        files: Sequence[Attachment] = (),
    ) -> Failure | None:
        """Deliver a message with files; return the reason for a failure, None after success.

        `kind` and `key` are those of the alert.
        """
        ...


def without_secrets(text: str, *secrets: str) -> str:
    """Return a message of a server or library on one line, with the secrets masked."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return one_line(text)
