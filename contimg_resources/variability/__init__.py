"""Variability: points of light curves, measures, and Extreme Scattering Events.

Belongs here: what flux densities over time tell. Doesn't: measuring flux densities (see
`contimg_resources.photometry`).
"""
