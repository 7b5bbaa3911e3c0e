"""Fixtures of the tests of the correlator's files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.correlator.convert import convert_sub_bands
from contimg_resources.correlator.model import Conversion, ConversionRequest
from tests.correlator.files import Written, as_the_correlator, write


@pytest.fixture(scope="session")
def observation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, list[Path]]:
    """Give an observation of 16 files in the correlator's form; not to be changed."""
    how = Written()
    paths = write(tmp_path_factory.mktemp("sub-bands"), how)
    for path in paths:
        as_the_correlator(path, how.declination_deg)
    return how, paths


@pytest.fixture(scope="session")
def convert(casa: Casa) -> Callable[[ConversionRequest], Conversion]:
    """Give a function that converts in a CASA process."""
    return lambda request: casa.run(convert_sub_bands, request, label="convert")
