"""Parameters of requests, as the IVOA's DALI defines them.

Belongs here: names without regard to case, numbers, intervals, limits of rows, formats. Doesn't:
shapes on the sky (see `regions`).
"""

import math
import re
from collections.abc import Collection, Iterable
from urllib.parse import parse_qsl

from contimg_resources.core.errors import BadRequest

#: Rows of an answer without MAXREC, and with any.
DEFAULT_ROWS, MOST_ROWS = 10_000, 200_000
_LONGEST = 2000
_MOST_VALUES = 1000
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)
_INFINITIES = {"-inf": -math.inf, "inf": math.inf, "+inf": math.inf}

VOTABLE = "application/x-votable+xml"
_VOTABLES = ("votable", VOTABLE, "text/xml", f"{VOTABLE};serialization=tabledata", "votable/td")


class Parameters:
    """The parameters of one request.

    Parameters
    ----------
    pairs : iterable of (str, str)
        Names and values in the order of the request; empty values count as absent.
    **longest : int
        Maximum number of characters of parameters that may be long.

    Raises
    ------
    BadRequest
        If a value is too long, or there are too many.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], **longest: int) -> None:
        self._values: dict[str, list[str]] = {}
        for number, (name, value) in enumerate(pairs):
            upper = name.upper()
            if number >= _MOST_VALUES:
                raise BadRequest(f"a request has at most {_MOST_VALUES} parameters")
            if len(value) > longest.get(upper, _LONGEST):
                shown = shortened(upper)
                raise BadRequest(f"{shown} has more than {longest.get(upper, _LONGEST)} characters")
            if value.strip():
                self._values.setdefault(upper, []).append(value.strip())

    @staticmethod
    def pairs_of_form(content: bytes) -> list[tuple[str, str]]:
        """Return names and values in a form.

        Raises
        ------
        BadRequest
            If it isn't one in UTF-8.
        """
        try:
            return parse_qsl(content.decode(), max_num_fields=_MOST_VALUES, errors="strict")
        except ValueError as error:
            raise BadRequest("the request is no form in UTF-8") from error

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return names, in capitals, and values."""
        return [(name, value) for name, values in self._values.items() for value in values]

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self._values.get(name, [])

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return the only value of a parameter.

        Raises
        ------
        BadRequest
            If it has several.
        """
        found = self.all(name)
        if len(found) > 1:
            raise BadRequest(f"{name} was given {len(found)} times")
        return found[0] if found else default

    def needed(self, name: str) -> str:
        """Return the only value of a parameter.

        Raises
        ------
        BadRequest
            If it is missing, or has several.
        """
        found = self.one(name)
        if found is None:
            raise BadRequest(f"{name} is missing")
        return found

    def number(self, name: str, low: float, high: float) -> float:
        """Return a number in [low, high].

        Raises
        ------
        BadRequest
            If it is missing, no number, or outside.
        """
        return number_within(name, self.needed(name), low, high)

    def intervals(self, name: str) -> list[tuple[float, float]]:
        """Return all intervals of a parameter; a single number is an interval without width.

        Raises
        ------
        BadRequest
            If one isn't a number or two, the smaller first.
        """
        found = []
        for text in self.all(name):
            ends = [as_number(name, word, infinite=True) for word in text.split()]
            if len(ends) not in (1, 2) or ends[0] > ends[-1]:
                raise BadRequest(
                    f"{name}: expected a number, or an interval of two in ascending order, not "
                    f"{shortened(text)!r}"
                )
            found.append((ends[0], ends[-1]))
        return found

    def most_rows(self) -> int:
        """Return the limit of rows: MAXREC, at most `MOST_ROWS`.

        Raises
        ------
        BadRequest
            If it is no whole number.
        """
        text = self.one("MAXREC", str(DEFAULT_ROWS)) or ""
        if not _WHOLE.fullmatch(text):
            raise BadRequest(f"MAXREC: expected a whole number from 0, not {shortened(text)!r}")
        return min(int(text), MOST_ROWS)

    def response_format(self, others: Collection[str] = ()) -> str:
        """Return the wanted format: ``votable``, or one of `others`.

        Raises
        ------
        BadRequest
            If it is another one.
        """
        text = self.one("RESPONSEFORMAT") or self.one("FORMAT") or "votable"
        plain = text.lower().replace(" ", "")
        if plain in _VOTABLES:
            return "votable"
        if plain in others:
            return plain
        raise BadRequest(
            f"RESPONSEFORMAT {shortened(text)!r} isn't offered; there are: "
            + ", ".join(("votable", *others))
        )


def number_within(name: str, text: str, low: float, high: float) -> float:
    """Return a number in [low, high].

    Raises
    ------
    BadRequest
        If it is none, or outside.
    """
    value = as_number(name, text)
    if not low <= value <= high:
        raise BadRequest(f"{name}: {value:g} isn't between {low:g} and {high:g}")
    return value


def as_number(name: str, text: str, *, infinite: bool = False) -> float:
    """Return a number; with `infinite` also ``-Inf`` and ``+Inf``, the ends of open intervals.

    Raises
    ------
    BadRequest
        If it is none.
    """
    if infinite and text.lower() in _INFINITIES:
        return _INFINITIES[text.lower()]
    value = float(text) if len(text) <= 40 and _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise BadRequest(f"{name}: {shortened(text)!r} is no number")
    return value


def shortened(text: str) -> str:
    """Return a text of the request for a message."""
    return text if len(text) <= 60 else f"{text[:57]}..."
