"""The calibration registry: caltable sets, their windows, and the set that applies.

Belongs here: records of caltable sets. Doesn't: solving or applying them.
"""
