"""Delivery to a webhook, by HTTP.

Belongs here: one POST and the meaning of its answer. Doesn't: repeated attempts.

The URL is the secret: anyone who has it can write to the channel. Messages contain only its host,
and no text of a library, which may quote the URL.
"""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from contimg_resources.alerts.delivery import TIMEOUT_S, Failure
from contimg_resources.core.plain_text import plain


@dataclass(frozen=True)
class Webhook:
    """A URL that accepts messages as JSON."""

    url: SecretStr  #: The URL, http or https.

    @property
    def name(self) -> str:
        """Name of the channel, in records and messages."""
        return "webhook"

    def deliver(self, subject: str, text: str, *, kind: str, key: str) -> Failure | None:
        """Deliver a message; return the reason for a failure, None after success.

        `kind` and `key` of the alert are copied into the JSON.
        """
        url = self.url.get_secret_value()
        host = _host(url)
        if host is None:
            return Failure(
                "the webhook isn't a plain http or https URL (CONTIMG_ALERTS__WEBHOOK): "
                "https://host/path was expected"
            )
        body = {"text": plain(text), "subject": plain(subject), "kind": kind, "key": key}
        try:
            request = urllib.request.Request(
                url,
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "User-Agent": "contimg"},
                method="POST",
            )
            with _opener().open(request, timeout=TIMEOUT_S):
                return None
        except urllib.error.HTTPError as answer:
            answer.close()
            return Failure(f"the webhook at {host} answered {answer.code}")
        except urllib.error.URLError as error:
            # Before or while sending.
            return Failure(f"the webhook at {host} can't be reached: {_why(error.reason)}")
        except (ValueError, http.client.InvalidURL):
            return Failure(f"the webhook at {host} has an invalid URL")
        except (OSError, http.client.HTTPException) as error:
            return Failure(
                f"the webhook at {host} received the message and gave no answer: {_why(error)}",
                certain=False,
            )


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only, which follows no redirects.

    urllib would turn a redirected POST into a GET, and report its answer as a success.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and "@" not in parts.netloc
        # Reading the port validates it.
        return parts.hostname if usable and parts.port != 0 else None
    except ValueError:
        return None


def _why(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
