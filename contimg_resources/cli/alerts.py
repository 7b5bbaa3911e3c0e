"""``contimg alerts``: the platform's messages to people, and their delivery.

Belongs here: arguments and output. Doesn't: rules and delivery.
"""

from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.errors import AlertFailed, ConfigurationError

app = typer.Typer(
    help="Messages about candidates, calibration, failures and image quality.\n\n"
    "Example: `contimg alerts` or `contimg alerts test`",
)

_SHOWN = 40
_NO_CHANNEL = (
    "the settings name neither a webhook (CONTIMG_ALERTS__WEBHOOK) nor addresses "
    "(CONTIMG_ALERTS__EMAIL_TO)"
)

Unsent = Annotated[bool, typer.Option("--unsent", help="Only messages that weren't delivered.")]


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    unsent: Unsent = False,
    as_json: AsJson = False,
) -> None:
    """List the messages with their due time, state of delivery, and the error if it failed.

    Example: `contimg alerts --unsent`
    """
    if context.invoked_subcommand is None:
        list_alerts(unsent=unsent, as_json=as_json)


@app.command("list")
def list_alerts(unsent: Unsent = False, as_json: AsJson = False) -> None:
    """List the messages with their due time, state of delivery, and the error if it failed.

    Example: `contimg alerts list --json`
    """
    from contimg_resources.alerts.channels import channels_of
    from contimg_resources.core.times import isot_from_mjd
    from contimg_resources.steps.alerting import state_in_words

    settings = given_settings()
    found = opened_workshop(settings).products.events.list_alerts(unsent=unsent)
    if as_json:
        print_json(found)
        return
    print_table(
        ("due (UTC)", "message", "subject", "state", "tries", "next try (UTC)", "error"),
        [
            (
                isot_from_mjd(a.created_mjd)[:16],
                a.key,
                a.subject,
                state_in_words(a),
                a.n_tries,
                isot_from_mjd(a.next_try_mjd)[:16] if a.n_tries and a.next_try_mjd else None,
                a.error or None,
            )
            for a in found[-_SHOWN:]
        ],
        title=f"The last {min(_SHOWN, len(found))} of {len(found)} messages",
    )
    if not channels_of(settings.alerts):
        remark(f"messages are recorded, not sent: {_NO_CHANNEL}")


@app.command("test")
def send_test(as_json: AsJson = False) -> None:
    """Send a test message through the webhook and the mail server of the settings.

    Exit code 1, with the reason, when the delivery fails.

    Example: `contimg alerts test`
    """
    from contimg_resources.alerts.channels import channels_of

    channels = channels_of(given_settings().alerts)
    if not channels:
        raise ConfigurationError(f"no message can be sent: {_NO_CHANNEL}")
    failures = {
        channel.name: channel.deliver(
            "test", "This is a test message of contimg.", kind="test", key="test"
        )
        for channel in channels
    }
    if as_json:
        print_json(failures)
    for name in (n for n, failure in failures.items() if failure is None and not as_json):
        remark(f"{name}: delivered")
    if reasons := [failure.reason for failure in failures.values() if failure is not None]:
        raise AlertFailed("; ".join(reasons))
