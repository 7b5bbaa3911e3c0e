"""How contimg's errors reach Dagster."""

import errno
import sqlite3

import dagster as dg
import pytest
from sqlalchemy.exc import OperationalError

from contimg_assets.failures import Cause, told_to_dagster
from contimg_resources.core.errors import CasaCrashed, NoValidCaltables, UnreadableObservation


def test_a_failure_says_the_error_s_own_sentence_and_keeps_its_details() -> None:
    with pytest.raises(dg.Failure) as caught, told_to_dagster():
        raise NoValidCaltables(
            "no active caltable set is valid at MJD 61041.00347",
            mjd=61041.00347,
            nearest_before={"name": "3C286", "end_mjd": 61040.5},
            nearest_after=None,
        )
    failure = caught.value
    assert failure.description == "no active caltable set is valid at MJD 61041.00347"
    assert failure.metadata["mjd"] == dg.MetadataValue.float(61041.00347)
    assert failure.metadata["error"].value == "NoValidCaltables"
    assert failure.metadata["nearest_before"].value == {"name": "3C286", "end_mjd": 61040.5}
    assert failure.allow_retries is False


def test_only_transient_errors_are_tried_again() -> None:
    with pytest.raises(dg.RetryRequested) as crashed, told_to_dagster():
        raise CasaCrashed("CASA died of SIGSEGV")
    failure = crashed.value.__cause__
    assert isinstance(failure, dg.Failure)
    assert failure.description == "CASA died of SIGSEGV"
    assert isinstance(failure.__cause__, CasaCrashed)
    with pytest.raises(dg.Failure) as mistake, told_to_dagster():
        raise KeyError("DATA_DESC_ID")
    assert mistake.value.allow_retries is False
    assert mistake.value.description == "KeyError: 'DATA_DESC_ID'"
    assert isinstance(mistake.value.__cause__, KeyError)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE]
)
def test_what_a_disk_refuses_is_tried_again(number: int) -> None:
    with pytest.raises(dg.RetryRequested) as refused, told_to_dagster():
        raise OSError(number, "refused", "/state/images/61041")
    failure = refused.value.__cause__
    assert isinstance(failure, dg.Failure)
    assert "/state/images/61041" in (failure.description or "")
    with pytest.raises(dg.Failure), told_to_dagster():
        raise FileNotFoundError(errno.ENOENT, "gone", "/in/a.ms")


def test_a_stale_file_system_is_no_fault_of_the_observation() -> None:
    """An error about the data that quotes it."""
    reason = "/shared/61041.ms can't be read: /shared/61041.ms/table.dat: Stale file handle"
    with pytest.raises(dg.RetryRequested) as refused, told_to_dagster():
        raise UnreadableObservation(reason)
    failure = refused.value.__cause__
    assert isinstance(failure, dg.Failure)
    assert failure.description == reason
    assert failure.metadata["cause"].value == Cause.SURROUNDINGS


def test_what_a_database_refuses_is_tried_again_and_told_without_its_statement() -> None:
    with pytest.raises(dg.RetryRequested) as refused, told_to_dagster():
        raise OperationalError("INSERT", (), sqlite3.OperationalError("database is locked"))
    failure = refused.value.__cause__
    assert isinstance(failure, dg.Failure)
    assert failure.description == (
        "OperationalError: (sqlite3.OperationalError) database is locked"
    )


def test_an_interrupt_passes_untouched() -> None:
    with pytest.raises(KeyboardInterrupt), told_to_dagster():
        raise KeyboardInterrupt
