"""How contimg works: everything that its Dagster assets stand on, usable without Dagster.

One folder an idea: the calibration registry, the products store, observations, CASA, calibration,
imaging, simulation, the command line. Nothing here imports ``contimg_assets`` (the command line
may), and ``dagster`` is imported only in the ``resource.py`` at a folder's door.
"""

__version__ = "0.1.0"
