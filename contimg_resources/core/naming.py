"""Names and paths, defined in one place.

Belongs here: which names are allowed, the file names of observations, and the path of each product
under the state directory.
Doesn't: opening, creating or deleting anything.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import InvalidName
from contimg_resources.core.keys import day_name, parse_partition_key, set_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:\-]{0,127}", re.ASCII)

#: Ending of the name of a MeasurementSet, in upper or lower case: ``.ms``, ``.MS``.
MS_ENDING = ".ms"

#: Characters that a quoted name can't contain.
_UNQUOTABLE = frozenset("\"'\\")

#: Endings of MS names that are intermediate products, never observations.
INTERMEDIATE_ENDINGS = (
    "_cal",
    "_calibrated",
    "_meridian",
    "_flagged",
    "_avg",
    "_split",
    ".phased",
    ".shifted",
    ".cal",
    ".tmp",
    ".part",
    ".partial",
    ".writing",
)


def check_name(name: str, what: str = "name") -> str:
    """Return `name` when it is safe as a file name and in a query.

    Parameters
    ----------
    name : str
        Letters, digits and ``. _ + : -``; begins with a letter or digit; at most 128 characters.
    what : str
        What the name refers to, for the message.

    Raises
    ------
    InvalidName
        If it has other characters, a path separator or ``..`` in it.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidName(
            f"{name!r} is no valid {what}: letters, digits and . _ + : - are allowed, beginning "
            "with a letter or digit, without '..', at most 128 characters"
        )
    return name


def plain_name(text: str) -> str:
    """Return `text` with ``_`` in place of each character that is not allowed in a name."""
    return re.sub(r"[^A-Za-z0-9._+:\-]", "_", text, flags=re.ASCII)


def is_ms_name(name: str) -> bool:
    """Return whether a name is that of a MeasurementSet: it ends in ``.ms``, in any case."""
    return name.lower().endswith(MS_ENDING)


def without_ms(name: str) -> str:
    """Return a name without its ``.ms``, in upper or lower case; any other name unchanged."""
    return name[: -len(MS_ENDING)] if is_ms_name(name) else name


def is_observation_name(name: str) -> bool:
    """Return whether a directory of this name can be an incoming observation.

    It ends in ``.ms``, is not hidden, and does not have the name of an intermediate product.
    """
    if not is_ms_name(name) or name.startswith((".", "_")):
        return False
    stem = without_ms(name)
    return bool(stem) and not stem.lower().endswith(INTERMEDIATE_ENDINGS)


def check_ms_name(name: str) -> None:
    """Refuse a name of an MS that can't be displayed, or quoted in a CASA query.

    Blanks, ``#``, ``?``, ``%`` and letters of any language are allowed.

    Raises
    ------
    InvalidName
        If it has control characters, bytes that are no text, quotes or backslashes in it.
    """
    if not name.isprintable() or not _UNQUOTABLE.isdisjoint(name):
        raise InvalidName(
            f"{name!a} has control characters, bytes that are no text, quotes or backslashes in it"
        )


class _Below:
    """A path of a `StateLayout`: that of the attribute's name in the state directory."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layout: "StateLayout", owner: type) -> Path:
        return layout.root / self._name


@dataclass(frozen=True)
class StateLayout:
    """Paths of everything under a state directory."""

    root: Path  #: The state directory; never inside a source checkout.

    incoming = _Below()  #: Directory of incoming MeasurementSets unless a setting names another.
    #: Directory of incoming sub-band files unless a setting names another.
    incoming_uvh5 = _Below()
    measurement_sets = _Below()  #: MS made of sub-band files, one directory for each day.
    scratch = _Below()  #: Working directories of running steps; may be emptied while no step runs.
    #: Reserved disk space, freed when the disk is full so that stores can be opened.
    reserve = _Below()
    logs = _Below()  #: CASA logs, one file for each step.
    caltables = _Below()  #: Solved caltable sets, one directory for each set and version.
    calibrated = _Below()  #: Calibrated MS, one directory for each day.
    images = _Below()  #: Images, one directory for each day.
    catalogues = _Below()  #: Source catalogues, one file each.
    mosaics = _Below()  #: Mosaics, one directory for each day.
    photometry = _Below()  #: Measurements, one directory for each kind of epoch.
    light_curves = _Below()  #: Light-curve measurements, one file for each day.
    added_light_curves = _Below()  #: Light curves that users added, one file for each list.
    variability = _Below()  #: Variability metrics, one file for each day.
    candidates = _Below()  #: Cards of candidates.
    cutouts = _Below()  #: Cutouts, one directory for each source.
    export = _Below()  #: Directory of documents for dashboards unless a setting names another.

    def caltable_set(self, set_name: str, version: int) -> Path:
        """Directory of one version of a caltable set."""
        return self.caltables / set_key(check_name(set_name, "caltable set name"), version)

    def card(self, candidate_id: str) -> Path:
        """Return the picture of a candidate."""
        return self.candidates / f"{candidate_id}.png"

    def follow_up(self, name: str) -> Path:
        """Return a file of the report of a candidate for observers."""
        return self.candidates / "follow_up" / name

    def mosaic_dir(self, key: str, mid_mjd: float) -> Path:
        """Directory of a mosaic and its companions."""
        return self.mosaics / day_name(mid_mjd) / check_name(key, "mosaic key")

    def measurement_set(self, key: str) -> Path:
        """MS made of the sub-band files of an observation."""
        return self._day(self.measurement_sets, key) / f"{key}.ms"

    def calibrated_ms(self, key: str) -> Path:
        """Calibrated MS of an observation."""
        return self._day(self.calibrated, key) / f"{key}_cal.ms"

    def image_dir(self, key: str) -> Path:
        """Directory of an observation's 5-minute image and its companions."""
        return self._day(self.images, key) / key

    @staticmethod
    def _day(parent: Path, key: str) -> Path:
        return parent / day_name(parse_partition_key(key))
