"""What a channel is, and how a delivery fails.

Belongs here: what the channels share. Doesn't: any protocol.
"""

from dataclasses import dataclass
from typing import Protocol

from contimg_resources.alerts.words import one_line

#: A server that doesn't answer for so long is given up, seconds.
TIMEOUT_S = 10.0

_HIDDEN = "***"


@dataclass(frozen=True)
class Failure:
    """Why a delivery gave no answer that says "delivered".

    Parameters
    ----------
    reason : str
        One sentence, without secrets.
    certain : bool
        Whether it certainly wasn't delivered. When the connection broke after everything was
        said, nobody knows, and what isn't certain isn't repeated.
    """

    reason: str
    certain: bool = True


class Channel(Protocol):
    """A way to a person."""

    @property
    def name(self) -> str:
        """Its name, in records and for people."""
        ...

    def deliver(self, subject: str, text: str, *, kind: str, key: str) -> Failure | None:
        """Deliver a message; return why that failed, None when it was delivered.

        Parameters
        ----------
        subject, text : str
            The message.
        kind, key : str
            What it is about.
        """
        ...


def without_secrets(text: str, *secrets: str) -> str:
    """Return words of a server or library on one line, the secrets in them blotted out."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return one_line(text)
