"""What goes over the wire, what an answer means, and that no secret is in any words."""

import json
import logging
from email import message_from_string
from email.policy import default

import pytest
from pydantic import SecretStr

from contimg_resources.alerts import channels
from contimg_resources.alerts.channels import Mail, Webhook, channels_of
from contimg_resources.alerts.delivery import Failure
from contimg_resources.settings import AlertSettings
from tests.alerts.servers import Hook, MailServer


def post(url: str) -> Failure | None:
    return Webhook(SecretStr(url)).deliver("s", "t", kind="k", key="a:b")


def send(
    server: MailServer, subject: str = "ESE candidate in x", **changes: object
) -> Failure | None:
    settings = AlertSettings(
        email_to=("ada@example.org", "bob@example.org"),
        smtp_host="127.0.0.1",
        smtp_port=server.port,
        **changes,
    )
    return Mail(settings).deliver(subject, "line 1\nµJy", kind="candidate", key="candidate:x")


def test_the_webhook_gets_json(hook: Hook) -> None:
    assert post(hook.url) is None
    assert [json.loads(b) for b in hook.bodies] == [
        {"text": "t", "subject": "s", "kind": "k", "key": "a:b"}
    ]


@pytest.mark.parametrize("code", [302, 307, 400, 404, 429, 500, 503])
def test_an_answer_that_is_no_success_is_a_certain_failure(hook: Hook, code: int) -> None:
    hook.answers, hook.location = [code], "/elsewhere"
    assert post(hook.url) == Failure(f"the webhook at 127.0.0.1 answered {code}")
    assert len(hook.bodies) == 1


def test_a_webhook_that_is_not_there_is_a_certain_failure() -> None:
    failure = post("http://127.0.0.1:9/SECRET-TOKEN")
    assert failure == Failure("the webhook at 127.0.0.1 can't be reached: Connection refused")


def test_whether_a_silent_webhook_took_it_is_not_known(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.answers = [0]
    broken_off = post(hook.url)
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.2)
    hook.delay_s = 0.6
    silent = post(hook.url)
    assert broken_off is not None
    assert silent is not None
    assert (broken_off.certain, silent.certain) == (False, False)
    assert "SECRET" not in broken_off.reason + silent.reason


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/SECRET-TOKEN",
        "ftp://host/SECRET-TOKEN",
        "SECRET-TOKEN",
        "http://[SECRET-TOKEN",
        "http://user:SECRET-TOKEN@127.0.0.1/",
        "http://127.0.0.1:SECRET-TOKEN/",
        "http://127.0.0.1:1/SECRET TOKEN\n",
        "http://127.0.0.1:9/SECRET-TOKEN-\u00fc",
        "http://SECRET-TOKEN" + "x" * 70 + ".example/",
    ],
)
def test_urls_that_cannot_be_used_are_not_repeated(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failure = post(url)
    assert failure is not None
    assert failure.certain
    if not url.startswith("http://SECRET"):  # a host's name is no secret
        assert "SECRET" not in failure.reason + caplog.text + repr(Webhook(SecretStr(url)))


def test_a_mail_is_whole(mail: MailServer) -> None:
    assert send(mail) is None
    (text,) = mail.mails
    message = message_from_string(text, policy=default)
    assert message["Subject"] == "contimg: ESE candidate in x"
    assert message["To"] == "ada@example.org, bob@example.org"
    assert "line 1" in text
    assert sum(line.lower().startswith("rcpt") for line in mail.said) == 2
    assert not any(line.lower().startswith(("starttls", "auth")) for line in mail.said)


def test_no_header_comes_from_a_name(mail: MailServer) -> None:
    assert send(mail, subject="x\r\nBcc: everyone@example.org\n\nbody\u2028X-Y: z") is None
    message = message_from_string(mail.mails[0], policy=default)
    assert message["Bcc"] is None
    assert message["X-Y"] is None
    recipients = [line for line in mail.said if line.lower().startswith("rcpt")]
    assert len(recipients) == 2
    assert "everyone" not in "".join(recipients)
    address = send(mail, email_from="a@b\r\nBcc: everyone@example.org")
    assert address is not None
    assert address.reason.startswith("can't write the e-mail")


def test_refusals_of_the_mail_server_are_certain_and_silence_is_not(mail: MailServer) -> None:
    mail.answer = "554 no SECRET-WORD of ours"
    refused = send(mail, smtp_password="SECRET-WORD")
    assert refused == Failure(
        f"the mail server 127.0.0.1:{mail.port} refused the message: 554 no *** of ours"
    )
    mail.answer = ""
    silent = send(mail)
    assert silent is not None
    assert not silent.certain
    # What it says after it took the message doesn't matter.
    mail.answer, mail.to_goodbye = "250 taken", "421 too late"
    assert send(mail) is None


def test_a_password_goes_over_no_open_line(mail: MailServer) -> None:
    failure = send(mail, smtp_user="ada", smtp_password="SECRET-WORD")
    assert failure is not None
    assert "doesn't offer TLS" in failure.reason
    assert mail.mails == []
    assert not any("AUTH" in line or "SECRET" in line for line in mail.said)
    without = send(mail, smtp_user="ada")
    assert without is not None
    assert "CONTIMG_ALERTS__SMTP_PASSWORD" in without.reason


def test_the_settings_name_the_channels() -> None:
    assert channels_of(AlertSettings()) == ()
    both = channels_of(AlertSettings(webhook=SecretStr("https://h/SECRET"), email_to=("a@b",)))
    assert [c.name for c in both] == ["webhook", "e-mail"]
    assert "SECRET" not in repr(both)
