"""Alerts: messages about problems and discoveries.

Belongs here: the rules, from records to messages, and the channels that deliver one message.
Doesn't: reading the stores, and the order of deliveries (see `contimg_resources.steps.alerting`).
"""
