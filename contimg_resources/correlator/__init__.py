"""The correlator's sub-band files (UVH5): 16 for each observation, from file to MeasurementSet.

Belongs here: reading and checking a sub-band, grouping the files of a directory into observations,
converting a group to an MS.
Doesn't: calibration, the stores, when something is converted.
"""
