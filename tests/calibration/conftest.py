"""The steps of these tests are found by CASA processes as ``tests.calibration.casa_steps``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
