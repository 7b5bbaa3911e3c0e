"""Solving a calibrator observation into a caltable set."""
