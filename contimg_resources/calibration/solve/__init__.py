"""Solve a calibrator observation into a caltable set."""
