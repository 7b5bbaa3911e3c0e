"""Rolling mosaics of 5-minute images.

Belongs here: which mosaics there should be, common beams, reprojection, weighted sums, checks.
Doesn't: what is recorded and when it runs (`contimg_resources.steps`, `contimg_assets`).
"""
