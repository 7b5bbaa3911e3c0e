"""Applying caltables: from an MS that arrived to a calibrated one."""
