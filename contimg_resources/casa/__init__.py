"""The only interface to CASA.

Belongs here: starting a child process that may import CASA, its site configuration, its working
directory and log, its progress, its end, and headless casaplotms.
Doesn't: computations with CASA; those functions are in the packages of their topic (calibration,
imaging, simulation, observations), import CASA inside the function, and are called through
`Casa.run`.
"""

from contimg_resources.casa.door import Casa, Timed
from contimg_resources.core.progress import Progress, no_progress

__all__ = ["Casa", "Progress", "Timed", "no_progress"]
