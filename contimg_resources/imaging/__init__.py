"""Imaging: engines behind one interface, the primary beam, statistics, sources, products."""
