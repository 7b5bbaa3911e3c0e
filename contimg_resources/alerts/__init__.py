"""Messages about what a person must know.

Belongs here: the rules, from records to messages, and the channels that deliver one message.
Doesn't: reading the stores, and who may deliver when (see `contimg_resources.steps.alerting`).
"""
