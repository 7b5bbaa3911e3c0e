"""Read FITS images of any writer as they were meant, and bring them to the platform's own form.

Belongs here: headers, frames, units and pixels of FITS images. Doesn't: making images from
visibilities (see `contimg_resources.imaging`), measuring sources.
"""
