"""Imaging engines behind one interface: our own, CASA's tclean, WSClean."""
