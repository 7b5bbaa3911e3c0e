"""Fixtures that every folder of tests may use."""

from pathlib import Path

import pytest

from contimg_resources.casa import Casa


@pytest.fixture(scope="session")
def casa(tmp_path_factory: pytest.TempPathFactory) -> Casa:
    """Give the door to CASA with scratch space and logs of this session."""
    root: Path = tmp_path_factory.mktemp("casa")
    return Casa(root / "scratch", root / "logs", timeout_s=600)
