"""Flags of measurements.

Belongs here: the flags and their descriptions. Doesn't: setting them.
"""

from enum import IntFlag


class Flag(IntFlag):
    """Flags of a measurement; 0 if there are none.

    With `NAN`, `EDGE`, `OUTSIDE`, `DEGENERATE` or `NO_NOISE` there is no flux.
    """

    NAN = 1
    EDGE = 2
    OUTSIDE = 4
    BLEND = 8
    POOR_FIT = 16
    DEGENERATE = 32
    NO_NOISE = 64
    EXTENDED = 128


_WORDS = {
    Flag.NAN: "blank pixels in the stamp",
    Flag.EDGE: "stamp over the edge of the image",
    Flag.OUTSIDE: "outside the observed sky",
    Flag.BLEND: "solved jointly with neighbours",
    Flag.POOR_FIT: "not a point source with the image's beam",
    Flag.DEGENERATE: "too close to a neighbour to be separated",
    Flag.NO_NOISE: "too few pixels around it to measure the noise",
    Flag.EXTENDED: "wider than the beam; see its integrated flux density",
}

#: Flags of measurements without a flux.
NO_FLUX = Flag.NAN | Flag.EDGE | Flag.OUTSIDE | Flag.DEGENERATE | Flag.NO_NOISE


def words(flags: int) -> tuple[str, ...]:
    """Return the descriptions of flags, one phrase for each; `flags` is a sum of `Flag` values.

    Raises
    ------
    ValueError
        If a bit is undefined.
    """
    if flags < 0 or flags & ~int(sum(Flag)):
        raise ValueError(f"{flags} contains bits that are not flags of measurements")
    return tuple(_WORDS[flag] for flag in Flag if flags & flag)
