"""How contimg works: everything that its Dagster assets stand on, usable without Dagster.

One folder an idea: the calibration registry, the products store, observations, CASA, calibration,
imaging, simulation, the command line. Nothing here imports ``contimg_assets`` (the command line
may), and ``dagster`` is imported only in the ``resource.py`` at a folder's door.
"""

import os

from contimg_resources.core.surroundings import ignore_impossible_threads

__version__ = "0.1.0"

# Before numpy, numba or ducc0 is imported: each of them reads its variable once.
ignore_impossible_threads(os.environ)
