"""Observations: what lies in the incoming directory, whether it is complete, and what it is.

Belongs here: finding candidates, settling, reading a MeasurementSet once, known calibrators.
Doesn't: changing an MS; everything here only looks.
"""
