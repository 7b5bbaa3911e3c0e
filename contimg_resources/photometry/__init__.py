"""Forced photometry: the flux density of every catalogued source in every image, over time."""
