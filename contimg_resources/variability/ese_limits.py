"""What the search for events and the judgement of dips agree upon.

Belongs here: limits that both need. Doesn't: either; this loads no compiler.
"""

#: A dip takes no more than this share of what was watched: its baseline is twice as long.
MOST_OF_SPAN = 0.35
#: Points that a fit needs in its window.
MIN_POINTS = 8
