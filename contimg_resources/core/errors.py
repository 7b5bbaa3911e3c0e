"""The vocabulary of failures.

Belongs here: one class for each kind of failure that a caller may want to tell apart.
Doesn't: messages. Whoever raises says what was looked for, where, and what is near.

An error crosses a process boundary as its class name, message and details, so every class takes
one message and JSON-able keyword details and nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from contimg_resources.core.plain_text import plain, plain_line


class ContimgError(Exception):
    """Base of all errors that contimg raises on purpose.

    Parameters
    ----------
    message : str
        One sentence that names the thing and the reason.
    **details : Any
        JSON-able particulars (paths as `str`, times as MJD in days).

    Attributes
    ----------
    transient : bool
        True when the same call may work a minute later; only such failures are retried.
    of_surroundings : bool
        True when disk, store or scratch are to blame and not the data: once that has passed the
        same call works, however long it takes.
    exit_code : int
        What the command line returns.
    """

    transient: ClassVar[bool] = False
    of_surroundings: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **details: Any) -> None:
        # It names what others named: files, antennas, columns.
        self.message = plain(message)
        super().__init__(self.message)
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """Return class name, message and details, ready for JSON."""
        return {"type": type(self).__name__, "message": self.message, "details": self.details}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "ContimgError":
        """Rebuild an error from `as_dict`; an unknown class becomes a plain `ContimgError`."""
        known = {c.__name__: c for c in _family(ContimgError)}
        error_class = known.get(str(record.get("type")), ContimgError)
        return error_class(str(record.get("message")), **dict(record.get("details") or {}))


def _family(root: type[ContimgError]) -> list[type[ContimgError]]:
    return [root, *(c for child in root.__subclasses__() for c in _family(child))]


class ConfigurationError(ContimgError):
    """A setting is missing, malformed or contradicts another."""

    exit_code = 2


class InvalidName(ContimgError, ValueError):
    """A name, partition key or path component that must not be used."""

    exit_code = 2


class UnreadableObservation(ContimgError):
    """A MeasurementSet that is truncated, empty, locked, or none at all."""


class ReadingCutOff(UnreadableObservation):
    """A MeasurementSet on which CASA crashed: it is damaged, or somebody killed CASA."""


class ObservationNotSettled(ContimgError):
    """A MeasurementSet that is still being written."""

    transient = True


class CalibratorNotFound(ContimgError):
    """No known calibrator of that name, or none crossed the beam."""


class CalibrationFailed(ContimgError):
    """A solve that gave no usable caltable set; details hold the reasons."""


class NoValidCaltables(ContimgError):
    """No active caltable set is valid for a mid-MJD; details name the nearest before and after."""


class RegistryError(ContimgError):
    """The calibration registry can't do what was asked."""


class RegistrationRefused(RegistryError):
    """A caltable set that may not be registered: missing, unreadable or mostly flagged tables."""


class SetNotFound(RegistryError):
    """No caltable set of that name or version."""


class CaltableAltered(RegistryError):
    """A registered caltable is missing or no longer matches its checksum."""


class SchemaMismatch(RegistryError):
    """A database written by a newer contimg, or one that isn't ours."""


class ProductsError(ContimgError):
    """The products store can't do what was asked."""


class StoreUnavailable(ContimgError):
    """A store that is locked, or on a disk that is full or doesn't answer: not damaged."""

    transient = True
    of_surroundings = True


class RegistryUnavailable(StoreUnavailable, RegistryError):
    """The calibration registry can't be reached now."""


class ProductsUnavailable(StoreUnavailable, ProductsError):
    """The products store can't be reached now."""


class StoreDamaged(SchemaMismatch, ProductsError):
    """A store that was emptied, is gone, or whose file is corrupt: to be restored from a backup."""


class BackupRefused(ContimgError):
    """A backup that isn't made since it would replace a fuller one, or that can't be put back."""


class CasaError(ContimgError):
    """A CASA task failed or left no product; the message ends with CASA's own last words."""


class CasaCrashed(CasaError):
    """The CASA process died of a signal (SIGSEGV and the like)."""

    transient = True


class ScratchLost(CasaError):
    """Somebody removed the working directory of a CASA step while it ran."""

    transient = True
    of_surroundings = True


class CasaTimeout(CasaError):
    """A CASA step ran longer than its limit and was ended."""


class CasaUnavailable(CasaError):
    """CASA or its reference data isn't installed, or can't be imported."""

    exit_code = 3


class PlotUnavailable(ContimgError):
    """A diagnostic plot can't be drawn here; the product that it illustrates still stands."""


class ImagingFailed(ContimgError):
    """An image that can't be made or isn't sane."""


class TableError(ContimgError):
    """A table of others that can't be read, or whose columns don't give what is wanted."""


class CatalogueError(ContimgError):
    """A catalogue that isn't there, can't be read, or isn't what it should be."""


class MosaicFailed(ContimgError):
    """A mosaic that can't be made, or a tile that can't be used."""


class UnreadableImage(ContimgError):
    """An image file that is truncated, lacks what a measurement needs, or is none at all."""


class PhotometryFailed(ContimgError):
    """Sources or an image on which nothing can be measured."""


class UnreadableMeasurements(ContimgError):
    """A file of measurements that is damaged, or written by a newer contimg."""


class VariabilityFailed(ContimgError):
    """Light curves that tell no variability, or a candidate that there is none of."""


class CutoutFailed(ContimgError):
    """A piece of sky that can't be cut out of an image."""


class ExportFailed(ContimgError):
    """Documents that can't be written, or a directory that holds none."""


class AlertFailed(ContimgError):
    """A message that couldn't be delivered; it is tried again."""

    transient = True


class DiskShort(ContimgError):
    """Too little room on the disk to begin a step, or to end it; nothing half-written is left."""

    transient = True
    of_surroundings = True


class DiskRefused(ContimgError):
    """A disk that lets nobody write or read: read-only, without permission, or faulty."""

    transient = True
    of_surroundings = True


class BenchFailed(ContimgError):
    """A benchmark that ended without a measurement."""


class PlatformError(ContimgError):
    """Dagster's daemon or webserver can't be started, died, or refused a request."""


@contextmanager
def rejecting(rejected: dict[str, str], name: str) -> Iterator[None]:
    """Let one item of a loop fail alone: whatever it raises is its reason, and the loop goes on.

    A store that can't be reached is no item's fault: that is raised.

    Parameters
    ----------
    rejected : dict of str to str
        Gets the reason, under the name.
    name : str
        Of the item.
    """
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception as error:
        rejected[name] = in_words(error)


def in_words(error: BaseException) -> str:
    """Return why something failed, for the line that rejects it.

    An error of ours is its message, one of the system its file and reason; any other names its
    class, since its text alone says little.
    """
    if isinstance(error, ContimgError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return plain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    text = plain_line(str(error))
    return f"unexpected {type(error).__name__}" + (f": {text}" if text else "")


#: What code raises when it meets what it didn't expect; its text says nothing of the file.
_ACCIDENTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)
_READER_CHARS = 300


def in_words_of_reader(error: BaseException) -> str:
    """Return why another library can't read a file; that it is damaged, where the text says less.

    Parameters
    ----------
    error : BaseException
        Whatever the reader raised.
    """
    missing = isinstance(error, KeyError) and error.args
    text = plain_line(str(error.args[0] if missing else error))[:_READER_CHARS]
    if missing:
        return text if " " in text else f"it lacks {text}"
    if not text or isinstance(error, _ACCIDENTS):
        return f"it is damaged ({type(error).__name__} while it was read)"
    return text
