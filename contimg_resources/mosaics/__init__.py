"""Rolling mosaics of 5-minute images.

Belongs here: the plan of mosaics, common beams, reprojection, weighted sums, checks.
Doesn't: records and scheduling (`contimg_resources.steps`, `contimg_assets`).
"""
