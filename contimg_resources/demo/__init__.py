"""The demonstration: a real observation, then a simulated night through the real platform.

Belongs here: preparing the acts, running them, comparing with the published values or the truth.
Doesn't: calibration and imaging, for which it calls the same functions as the platform.
"""
