"""Read tables of other writers, in any of the usual formats.

Belongs here: formats, columns with their units, UCDs and frames, conversion to numbers and sky
directions.
Doesn't: the meaning of a table (see `contimg_resources.catalogues` and others).
"""
