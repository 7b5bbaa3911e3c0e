"""Observations: finding them in the incoming directory, checking completeness, describing them.

Belongs here: finding candidates, settling, reading a MeasurementSet once, known calibrators.
Doesn't: changing an MS; this package only reads.
"""
