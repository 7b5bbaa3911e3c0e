"""Variability: light curves, variability metrics, and Extreme Scattering Events.

Belongs here: the analysis of flux densities over time. Doesn't: measuring flux densities (see
`contimg_resources.photometry`).
"""
