"""The configured channels.

Belongs here: choosing them. Doesn't: delivering.
"""

from contimg_resources.alerts.delivery import Channel
from contimg_resources.alerts.mail import Mail
from contimg_resources.alerts.webhook import Webhook
from contimg_resources.settings import AlertSettings


def channels_of(settings: AlertSettings) -> tuple[Channel, ...]:
    """Return the configured channels: webhook, e-mail, both or none."""
    found: list[Channel] = []
    if settings.webhook is not None and settings.webhook.get_secret_value():
        found.append(Webhook(settings.webhook))
    if settings.email_to:
        found.append(Mail(settings))
    return tuple(found)
