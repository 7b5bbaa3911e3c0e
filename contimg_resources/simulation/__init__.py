"""A simulated DSA-110: MeasurementSets with known truth.

Belongs here: the parameters of a simulation (`spec`), the sky (`sky`), the antennas' gains
(`gains`), interference (`rfi`), the direction of the meridian (`meridian`), visibilities
(`predict`), the MeasurementSet (`measurement_set`), its truth (`truth`), one observation
(`observation`) and a whole night (`night`).
Doesn't: solving, imaging or quality checks; it must not share code with what it tests.
"""
