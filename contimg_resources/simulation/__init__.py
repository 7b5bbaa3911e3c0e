"""A simulated DSA-110: MeasurementSets whose truth is known.

Belongs here: what to simulate (`spec`), the sky (`sky`), the antennas' gains (`gains`),
interference (`rfi`), where the meridian points (`meridian`), visibilities (`predict`), the
MeasurementSet (`measurement_set`), the truth beside it (`truth`), one observation
(`observation`) and a whole night (`night`).
Doesn't: anything that solves, images or judges; it must not share code with what it tests.
"""
