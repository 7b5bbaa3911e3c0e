"""Catalogues of sources: surveys and the user's own lists, in one form.

Belongs here: reading and fetching catalogues, storing them as Parquet, selecting a region of sky.
Doesn't: measuring sources (see `contimg_resources.photometry`).
"""
