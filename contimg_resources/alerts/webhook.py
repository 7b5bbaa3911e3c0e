"""Delivery to a webhook, by HTTP.

Belongs here: one POST and what its answer means. Doesn't: trying again.

The URL is the secret: whoever has it can write to the channel. No message names more of it than
the host, and no library's own words are passed on, which may quote it.
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
    """A URL that takes messages as JSON.

    Parameters
    ----------
    url : SecretStr
        The URL, http or https.
    """

    url: SecretStr

    @property
    def name(self) -> str:
        """Its name, in records and for people."""
        return "webhook"

    def deliver(self, subject: str, text: str, *, kind: str, key: str) -> Failure | None:
        """Deliver a message; return why that failed, None when it was delivered.

        Parameters
        ----------
        subject, text : str
            The message.
        kind, key : str
            What it is about; in the JSON as they are.
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
            # Before or while it was said.
            return Failure(f"the webhook at {host} can't be reached: {_why(error.reason)}")
        except (ValueError, http.client.InvalidURL):
            return Failure(f"the webhook at {host} has a URL that can't be used")
        except (OSError, http.client.HTTPException) as error:
            return Failure(
                f"the webhook at {host} took the message and gave no answer: {_why(error)}",
                certain=False,
            )


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https only, and follows nobody elsewhere.

    urllib would turn a redirected POST into a GET, and call its answer a success.
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
        # Asking for the port checks it.
        return parts.hostname if usable and parts.port != 0 else None
    except ValueError:
        return None


def _why(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {TIMEOUT_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
