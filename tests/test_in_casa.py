"""What a CASA process loads while nobody asks it anything."""

from contimg_resources.casa import Casa
from contimg_resources.steps.in_casa import load_engines

#: What calibrating and imaging would else load when they are first asked.
SLOW = {"casatools", "ducc0", "numba", "matplotlib.figure", "astropy.io.fits", "scipy.interpolate"}


def load_everything(_: int) -> list[str]:
    """Load all pieces; return the slow modules that are there then."""
    import sys

    n_pieces = sum(1 for _ in load_engines())
    assert n_pieces > 4
    return sorted(SLOW & set(sys.modules))


def test_engines_are_there_before_the_first_call(casa_afresh: Casa) -> None:
    assert set(casa_afresh.run(load_everything, 0, label="load")) == SLOW
