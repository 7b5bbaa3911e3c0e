"""Types of arrays, for annotations.

Belongs here: names of numpy arrays by the type of their elements. Doesn't: shapes, which docstrings
state.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Reals = NDArray[np.floating[Any]]
Singles = NDArray[np.float32]
