"""Which sources are solved together.

Belongs here: choosing a source's neighbours. Doesn't: solving (see `filter_loops`).
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.blends import neighbour_pairs

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Sources up to so many major axes away are solved jointly: from 1.5 beams away, where they no
#: longer count as blended, one would still add 4 % of its flux.
JOINT_BEAMS = 2.5
MOST_MEMBERS = 12
#: Neighbours nearer to each other than so many major axes are one to a third source.
_SAME_BEAMS = 0.1


def joint_members(ra_deg: Floats, dec_deg: Floats, n: int, major_arcsec: float) -> Integers:
    """Return for each of the first sources itself and who is solved with it, nearest first.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n_all,)
        Sources that show in the image, ICRS degrees.
    n : int
        For the first so many members are wanted; the others are neighbours only.
    major_arcsec : float
        Major axis of the beam, arcsec.

    Returns
    -------
    ndarray of int, shape (n, 12)
        -1 where there is nobody.
    """
    found = np.full((n, MOST_MEMBERS), -1, np.int64)
    found[:, 0] = np.arange(n)
    pairs = neighbour_pairs(ra_deg, dec_deg, JOINT_BEAMS * major_arcsec)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[both[:, 0] < n]
    if not len(both):
        return found
    east, north = _offsets_arcsec(ra_deg, dec_deg, both[:, 0], both[:, 1])
    away = np.hypot(east, north)
    count = np.ones(n, np.int64)
    same = _SAME_BEAMS * major_arcsec
    # Ties are broken by place, so that the order of a list means nothing.
    for k in np.lexsort((north, east, away, both[:, 0])):
        i, j = both[k]
        members = found[i, 1 : count[i]]
        if count[i] == MOST_MEMBERS:
            continue
        apart = np.hypot(*_offsets_arcsec(ra_deg, dec_deg, members, np.full(len(members), j)))
        # Two at one place can't be told apart from each other; a third one can from both.
        if not (apart < same).any():
            found[i, count[i]] = j
            count[i] += 1
    return found


def _offsets_arcsec(
    ra_deg: Floats, dec_deg: Floats, here: NDArray[np.integer], there: NDArray[np.integer]
) -> tuple[Floats, Floats]:
    east = (ra_deg[there] - ra_deg[here] + 180) % 360 - 180
    north = dec_deg[there] - dec_deg[here]
    return 3600 * east * np.cos(np.radians(dec_deg[here])), 3600 * north
