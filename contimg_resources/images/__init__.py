"""Image files of any writer: reading them as they were meant, and the platform's own form of them.

Belongs here: headers, frames, units and pixels of FITS images. Doesn't: making images from
visibilities (see `contimg_resources.imaging`), measuring sources.
"""
