"""Forced photometry: the flux of every catalogued source in every image, and its history."""
