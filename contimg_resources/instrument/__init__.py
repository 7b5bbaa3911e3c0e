"""DSA-110: its parameters, its stations and its primary beam.

Belongs here: properties of the instrument that don't depend on the observation.
Doesn't: settings that an operator may want to change.
"""
