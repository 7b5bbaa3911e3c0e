"""Imaging engines with a common interface: our own, CASA's tclean, WSClean."""
