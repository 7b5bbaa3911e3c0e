"""Flagging interference, in memory or with CASA's tasks."""
