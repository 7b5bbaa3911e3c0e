"""The channels of alerts: e-mail, and a webhook by HTTP.

Belongs here: sending one message, and the meaning of the server's answer; the configured channels.
Doesn't: repeated attempts.

A webhook's URL is the secret: anyone who has it can write to the channel. Messages contain only its
host, and no text of a library, which may quote the URL.
"""

import base64
import hashlib
import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from contimg_resources.alerts.delivery import (
    TIMEOUT_S,
    Attachment,
    Channel,
    Failure,
    one_line,
    without_secrets,
)
from contimg_resources.core.plain_text import plain
from contimg_resources.settings import AlertSettings


@dataclass(frozen=True)
class Mail:
    """E-mail by the configured addresses and mail server."""

    settings: AlertSettings  #: Settings with both.

    @property
    def name(self) -> str:
        """Name of the channel, in records and messages."""
        return "e-mail"

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

        A message counts as delivered if the server accepts it for some of the addresses. The
        alert's kind and key make the message's id.
        """
        server = f"{self.settings.smtp_host}:{self.settings.smtp_port}"
        try:
            message = self._message(subject, text, key, files)
        except (ValueError, IndexError) as error:
            return Failure(f"can't write the e-mail: {self._words(error)}")
        try:
            connection = smtplib.SMTP(
                self.settings.smtp_host, self.settings.smtp_port, timeout=TIMEOUT_S
            )
        except (OSError, smtplib.SMTPException) as error:
            return Failure(f"the mail server {server} can't be reached: {self._words(error)}")
        try:
            return self._login(connection, server) or self._send(connection, message, server)
        finally:
            # The answer is already known: a failure while closing the connection doesn't matter.
            with suppress(OSError, smtplib.SMTPException):
                connection.quit()
            connection.close()

    def _message(
        self, subject: str, text: str, key: str, files: Sequence[Attachment] = ()
    ) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = one_line(f"contimg: {subject}")
        message["From"] = self.settings.email_from
        message["To"] = ", ".join(self.settings.email_to)
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@contimg>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(plain(text))
        for file in files:
            major, _, minor = file.media_type.partition("/")
            message.add_attachment(file.data, maintype=major, subtype=minor, filename=file.name)
        return message

    def _login(self, connection: smtplib.SMTP, server: str) -> Failure | None:
        user, password = self.settings.smtp_user, self.settings.smtp_password
        if user is None:
            return None
        if password is None:
            return Failure(
                f"{user} can't log in to the mail server {server} without a password "
                "(CONTIMG_ALERTS__SMTP_PASSWORD)"
            )
        try:
            # TLS first, verified: the password is never sent unencrypted.
            connection.starttls(context=ssl.create_default_context())
        except (OSError, smtplib.SMTPException) as error:
            return Failure(f"the mail server {server} doesn't offer TLS: {self._words(error)}")
        try:
            connection.login(user, password.get_secret_value())
        except smtplib.SMTPAuthenticationError as error:
            # Without the server's text, which may repeat the password, encoded.
            return Failure(f"the mail server {server} refused {user}: {error.smtp_code}")
        except (OSError, ValueError, smtplib.SMTPException) as error:
            return Failure(f"{user} can't log in to {server}: {type(error).__name__}")
        return None

    def _send(self, connection: smtplib.SMTP, message: EmailMessage, server: str) -> Failure | None:
        try:
            connection.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            return Failure(
                f"the mail server {server} refused all addresses: "
                f"{self._words(*error.recipients.values())}"
            )
        except (smtplib.SMTPResponseException, smtplib.SMTPNotSupportedError, ValueError) as error:
            return Failure(f"the mail server {server} refused the message: {self._words(error)}")
        except (OSError, smtplib.SMTPException) as error:
            return Failure(
                f"the mail server {server} closed the connection, perhaps after it accepted the "
                "message: "
                f"{self._words(error)}",
                certain=False,
            )
        return None

    def _words(self, *said: object) -> str:
        password = self.settings.smtp_password
        hidden = "" if password is None else password.get_secret_value()
        words = "; ".join(_plain(one) for one in said)
        return without_secrets(words, hidden)


def _plain(said: object) -> str:
    if isinstance(said, smtplib.SMTPResponseException):
        said = (said.smtp_code, said.smtp_error)
    if isinstance(said, tuple):
        return " ".join(
            p.decode(errors="replace") if isinstance(p, bytes) else str(p) for p in said
        )
    return f"{said}" or type(said).__name__


@dataclass(frozen=True)
class Webhook:
    """A URL that accepts messages as JSON."""

    url: SecretStr  #: The URL, http or https.

    @property
    def name(self) -> str:
        """Name of the channel, in records and messages."""
        return "webhook"

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

        `kind` and `key` of the alert are copied into the JSON; `files` are a list there, JSON and
        XML as text, others in base64.
        """
        url = self.url.get_secret_value()
        host = _host(url)
        if host is None:
            return Failure(
                "the webhook isn't a plain http or https URL (CONTIMG_ALERTS__WEBHOOK): "
                "https://host/path was expected"
            )
        body: dict[str, Any] = {
            **{"text": plain(text), "subject": plain(subject), "kind": kind, "key": key},
            **({"files": [_as_json(file) for file in files]} if files else {}),
        }
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


def _as_json(file: Attachment) -> dict[str, str]:
    known = {"name": file.name, "media_type": file.media_type}
    if file.media_type in ("application/json", "application/xml"):
        return {**known, "text": file.data.decode()}
    return {**known, "base64": base64.b64encode(file.data).decode()}


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


def channels_of(settings: AlertSettings) -> tuple[Channel, ...]:
    """Return the configured channels: webhook, e-mail, both or none."""
    found: list[Channel] = []
    if settings.webhook is not None and settings.webhook.get_secret_value():
        found.append(Webhook(settings.webhook))
    if settings.email_to:
        found.append(Mail(settings))
    return tuple(found)
