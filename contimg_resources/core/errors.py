"""The errors of contimg.

Belongs here: one class for each kind of failure that a caller may want to distinguish.
Doesn't: messages. The raising code states what was looked for, where, and what is near.

An error crosses a process boundary as its class name, message and details, so every class takes
one message and JSON-able keyword details and nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from contimg_resources.core.plain_text import plain, plain_line


class ContimgError(Exception):
    """Base class of all errors that contimg raises on purpose.

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
        True when disk, store or scratch are to blame and not the data: the same call works once
        that has passed, however long it takes.
    exit_code : int
        Exit code of the command line.
    """

    transient: ClassVar[bool] = False
    of_surroundings: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **details: Any) -> None:
        # It may contain names that others chose: files, antennas, columns.
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
    """A setting that is missing, malformed or contradicts another."""

    exit_code = 2


class InvalidName(ContimgError, ValueError):
    """A name, partition key or path component that is not allowed."""

    exit_code = 2


class UnreadableObservation(ContimgError):
    """A MeasurementSet that is truncated, empty or locked, or a path that is not one."""


class ReadingCutOff(UnreadableObservation):
    """A MeasurementSet on which CASA crashed: it is damaged, or CASA was killed."""


class UnreadableSubBand(ContimgError):
    """A sub-band file that is truncated, not UVH5, implausible, or unlike the others."""


class ObservationNotSettled(ContimgError):
    """A MeasurementSet or a sub-band file that is still being written."""

    transient = True


class CalibratorNotFound(ContimgError):
    """No known calibrator has that name, or none crossed the beam."""


class CalibrationFailed(ContimgError):
    """A solve without a usable caltable set; details hold the reasons."""


class NoValidCaltables(ContimgError):
    """No active caltable set is valid for a mid-MJD; details name the nearest before and after."""


class RegistryError(ContimgError):
    """A request that the calibration registry can't fulfil."""


class RegistrationRefused(RegistryError):
    """A caltable set that may not be registered: missing, unreadable or mostly flagged tables."""


class SetNotFound(RegistryError):
    """No caltable set has that name or version."""


class CaltableAltered(RegistryError):
    """A registered caltable is missing or no longer matches its checksum."""


class SchemaMismatch(RegistryError):
    """A database written by a newer contimg, or one with other tables."""


class ProductsError(ContimgError):
    """A request that the products store can't fulfil."""


class RunSuperseded(ProductsError):
    """A write of a run that was given up, because its host was lost; another run does its work."""


class StoreUnavailable(ContimgError):
    """A store that is locked, or on a disk that is full or doesn't respond: not damaged."""

    transient = True
    of_surroundings = True


class RegistryUnavailable(StoreUnavailable, RegistryError):
    """The calibration registry can't be reached now."""


class ProductsUnavailable(StoreUnavailable, ProductsError):
    """The products store can't be reached now."""


class StoreDamaged(SchemaMismatch, ProductsError):
    """A store that was emptied, is gone or is corrupt: restore it from a backup."""


class BackupRefused(ContimgError):
    """A backup that would replace a fuller one, or that can't be restored."""


class CasaError(ContimgError):
    """A CASA task that failed or left no product; the message ends with CASA's last SEVERE line."""


class CasaCrashed(CasaError):
    """A CASA process that died from a signal (SIGSEGV and the like)."""

    transient = True


class ScratchLost(CasaError):
    """A CASA step whose working directory was removed while it ran."""

    transient = True
    of_surroundings = True


class CasaTimeout(CasaError):
    """A CASA step ran longer than its limit and was ended."""


class CasaUnavailable(CasaError):
    """CASA or its reference data isn't installed, or can't be imported."""

    exit_code = 3


class PlotUnavailable(ContimgError):
    """A diagnostic plot that can't be drawn here; the plotted product remains valid."""


class ImagingFailed(ContimgError):
    """An image that can't be made or isn't plausible."""


class TableError(ContimgError):
    """A table from elsewhere that can't be read, or that lacks the needed columns."""


class CatalogueError(ContimgError):
    """A catalogue that is missing, can't be read, or has unexpected content."""


class MosaicFailed(ContimgError):
    """A mosaic that can't be made, or a tile that can't be used."""


class UnreadableImage(ContimgError):
    """An image file that is truncated, lacks required information, or is not an image."""


class PhotometryFailed(ContimgError):
    """Sources or an image on which nothing can be measured."""


class UnreadableMeasurements(ContimgError):
    """A file of measurements that is damaged, or written by a newer contimg."""


class BadRequest(ContimgError):
    """A request to a service of the Virtual Observatory that can't be answered."""

    exit_code = 2


class VariabilityFailed(ContimgError):
    """Light curves without usable variability, or a candidate that doesn't exist."""


class CutoutFailed(ContimgError):
    """A cutout that can't be made from an image."""


class ExportFailed(ContimgError):
    """Documents that can't be written, or a directory without documents."""


class AlertFailed(ContimgError):
    """An alert that couldn't be delivered; it is sent again."""

    transient = True


class DiskShort(ContimgError):
    """Too little disk space to start or finish a step; no partial files are left."""

    transient = True
    of_surroundings = True


class DiskRefused(ContimgError):
    """A disk that can't be written or read: read-only, without permission, or faulty."""

    transient = True
    of_surroundings = True


class BenchFailed(ContimgError):
    """A benchmark that ended without a measurement."""


class PlatformError(ContimgError):
    """Dagster's daemon or webserver can't be started, died, or refused a request."""


class NoAnswerInTime(PlatformError):
    """The webserver received a request and did not answer in time: perhaps it carries it out."""


class UnlistedPart(ContimgError):
    """A step used a part of the workshop that its asset doesn't list."""


@contextmanager
def rejecting(rejected: dict[str, str], name: str) -> Iterator[None]:
    """Let one item of a loop fail alone: record its error as the reason, and continue the loop.

    `rejected` receives the reason by name. An unavailable store is no fault of the item, nor is an
    unlisted part: these errors are raised.
    """
    try:
        yield
    except (StoreUnavailable, UnlistedPart):
        raise
    except Exception as error:
        rejected[name] = in_words(error)


def in_words(error: BaseException) -> str:
    """Return the reason of a failure in words.

    For an error of contimg this is its message, for a system error its file and reason; for any
    other its class and text, since the text alone is rarely clear.
    """
    if isinstance(error, ContimgError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return plain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    text = plain_line(str(error))
    return f"unexpected {type(error).__name__}" + (f": {text}" if text else "")


def in_words_of_network(error: BaseException) -> str:
    """Return why a request failed: the system's reason if there is one, else the library's text.

    The library wraps the system's error in several of its own.
    """
    inner: BaseException | None = error
    while inner is not None and not (isinstance(inner, OSError) and inner.strerror):
        inner = inner.__cause__ or inner.__context__
    return plain_line(str(inner.strerror if inner else error))


#: Errors of code that meets unexpected data; their text doesn't describe the file.
_ACCIDENTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)
_READER_CHARS = 300


def in_words_of_reader(error: BaseException) -> str:
    """Return why a library can't read a file, or that it is damaged when the error is unclear."""
    missing = isinstance(error, KeyError) and error.args
    text = plain_line(str(error.args[0] if missing else error))[:_READER_CHARS]
    if missing:
        return text if " " in text else f"it lacks {text}"
    if not text or isinstance(error, _ACCIDENTS):
        return f"it is damaged ({type(error).__name__} while it was read)"
    return text
