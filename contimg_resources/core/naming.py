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


@dataclass(frozen=True)
class StateLayout:
    """Paths of everything under a state directory."""

    root: Path  #: The state directory; never inside a source checkout.

    @property
    def incoming(self) -> Path:
        """Directory of incoming MeasurementSets unless a setting names another."""
        return self.root / "incoming"

    @property
    def incoming_uvh5(self) -> Path:
        """Directory of incoming sub-band files unless a setting names another."""
        return self.root / "incoming_uvh5"

    @property
    def measurement_sets(self) -> Path:
        """MS made of sub-band files, one directory for each day."""
        return self.root / "measurement_sets"

    @property
    def scratch(self) -> Path:
        """Working directories of running steps; may be emptied while no step runs."""
        return self.root / "scratch"

    @property
    def reserve(self) -> Path:
        """Reserved disk space, freed when the disk is full so that stores can be opened."""
        return self.root / "reserve"

    @property
    def logs(self) -> Path:
        """CASA logs, one file for each step."""
        return self.root / "logs"

    @property
    def caltables(self) -> Path:
        """Solved caltable sets, one directory for each set and version."""
        return self.root / "caltables"

    def caltable_set(self, set_name: str, version: int) -> Path:
        """Directory of one version of a caltable set."""
        return self.caltables / set_key(check_name(set_name, "caltable set name"), version)

    @property
    def calibrated(self) -> Path:
        """Calibrated MS, one directory for each day."""
        return self.root / "calibrated"

    @property
    def images(self) -> Path:
        """Images, one directory for each day."""
        return self.root / "images"

    @property
    def catalogues(self) -> Path:
        """Source catalogues, one file each."""
        return self.root / "catalogues"

    @property
    def mosaics(self) -> Path:
        """Mosaics, one directory for each day."""
        return self.root / "mosaics"

    @property
    def photometry(self) -> Path:
        """Measurements, one directory for each kind of epoch."""
        return self.root / "photometry"

    @property
    def light_curves(self) -> Path:
        """Light-curve measurements, one file for each day."""
        return self.root / "light_curves"

    @property
    def added_light_curves(self) -> Path:
        """Light curves that users added, one file for each list."""
        return self.root / "added_light_curves"

    @property
    def variability(self) -> Path:
        """Variability metrics, one file for each day."""
        return self.root / "variability"

    @property
    def candidates(self) -> Path:
        """Cards of candidates."""
        return self.root / "candidates"

    def card(self, candidate_id: str) -> Path:
        """Return the picture of a candidate."""
        return self.candidates / f"{candidate_id}.png"

    @property
    def cutouts(self) -> Path:
        """Cutouts, one directory for each source."""
        return self.root / "cutouts"

    @property
    def export(self) -> Path:
        """Directory of documents for dashboards unless a setting names another."""
        return self.root / "export"

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
