"""Cutouts: the sky around a source in each epoch, stacked, animated, and bounded in size."""
