"""Solving calibrator observations into caltable sets, judging them, and applying them."""
