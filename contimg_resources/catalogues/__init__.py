"""Catalogues of sources: surveys and lists of one's own, through one door.

Belongs here: reading and fetching them, keeping them as Parquet, asking for a piece of sky.
Doesn't: measuring sources (see `contimg_resources.photometry`).
"""
