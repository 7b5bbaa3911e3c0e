"""The cadence of real observing: gaps as in a fortnight's log of 2,413 observations.

In 82 % of the cases the next observation begins after 309-310 s; one in six or seven follows a gap
of about 100 s or 300 s; now and then the telescope doesn't observe for hours.
"""

import random

#: Time from one observation to the next, seconds.
STEP_S = 309.24
FORTNIGHT = 2413
_SHARES = (0.82, 0.905, 0.975)


def starts(n: int, seed: int) -> list[float]:
    """Return the starts of observations, in seconds from the first."""
    rng = random.Random(seed)
    start_s, found = 0.0, []
    for _ in range(n):
        found.append(start_s)
        kind = rng.random()
        if kind < _SHARES[0]:
            start_s += rng.uniform(309.0, 310.0)
        elif kind < _SHARES[1]:
            start_s += rng.uniform(405.0, 420.0)
        elif kind < _SHARES[2]:
            start_s += rng.uniform(590.0, 615.0)
        else:
            start_s += rng.uniform(1200.0, 12_000.0)
    return found
