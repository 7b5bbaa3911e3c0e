"""DSA-110 itself: its figures, its stations and its primary beam.

Belongs here: what is true of the instrument whatever is observed with it.
Doesn't: settings that an operator may want to change.
"""
