"""The interface of channels, and failures of delivery.

Belongs here: the parts that all channels share. Doesn't: any protocol.
"""

from dataclasses import dataclass
from typing import Protocol

from contimg_resources.alerts.words import one_line

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


class Channel(Protocol):
    """A channel for messages."""

    @property
    def name(self) -> str:
        """Name of the channel, in records and messages."""
        ...

    def deliver(self, subject: str, text: str, *, kind: str, key: str) -> Failure | None:
        """Deliver a message; return the reason for a failure, None after success.

        `kind` and `key` are those of the alert.
        """
        ...


def without_secrets(text: str, *secrets: str) -> str:
    """Return a message of a server or library on one line, with the secrets masked."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return one_line(text)
