"""Tables that others wrote, in any of the usual formats.

Belongs here: formats, columns with their units, UCDs and frames, numbers and directions from them.
Doesn't: the meaning of a table (see `contimg_resources.catalogues` and others).
"""
