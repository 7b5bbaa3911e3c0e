"""Solve calibrator observations into caltable sets, check their quality, and apply them."""
