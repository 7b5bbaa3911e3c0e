"""Limits shared by the search for events and the vetting of dips.

Belongs here: limits that both need. Doesn't: search and vetting; this module loads no compiler.
"""

#: Maximum width of a dip as a fraction of the observed time: its baseline is twice as long.
MOST_OF_SPAN = 0.35
#: Minimum number of measurements in the window of a fit.
MIN_POINTS = 8
