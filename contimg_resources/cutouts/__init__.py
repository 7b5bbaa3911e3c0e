"""Cutouts: the sky around a source in each epoch, with stacks, animations and a size limit."""
