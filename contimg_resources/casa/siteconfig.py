"""The site configuration with which CASA starts without a network.

CASA can't be imported without its run-time data. The package ``casadata`` holds them, so contimg
writes a configuration that points there, and names it in ``CASASITECONFIG`` before the child
process starts. A user's own configuration and data are left unchanged.
"""

import importlib.util
import os
from pathlib import Path

from contimg_resources.core.errors import CasaUnavailable
from contimg_resources.core.surroundings import home_directory

#: Name under which CASA logs, in the directory of its process: a link to the file of a step.
CASA_LOG = "casa.log"
_TEMPLATE = """\
# Written by contimg: the package casadata holds the reference data; no network is used.
measurespath = {data!r}
datapath = [{data!r}]
measures_auto_update = False
data_auto_update = False
telemetry_enabled = False
crashreporter_enabled = False
nogui = True
agg = True
iplog = False
logfile = {log!r}
"""


def casadata_dir() -> Path:
    """Return the directory of the package ``casadata`` that holds CASA's data.

    Raises
    ------
    CasaUnavailable
        If the package isn't installed.
    """
    spec = importlib.util.find_spec("casadata")
    if spec is None or spec.origin is None:
        raise CasaUnavailable(
            "CASA's reference data are missing: the package casadata is not installed in "
            "this environment"
        )
    return Path(spec.origin).parent / "__data__"


def user_has_own_configuration() -> bool:
    """Return whether the user configured CASA (CASASITECONFIG, ~/.casa/config.py, ~/.casa/data)."""
    if os.environ.get("CASASITECONFIG"):
        return True
    home = home_directory()
    return home is not None and any(
        _exists(home / ".casa" / name) for name in ("config.py", "data")
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a home directory that may not be read
        return False


def write_site_config(directory: Path) -> dict[str, str]:
    """Write a site configuration into `directory` and return the environment that names it.

    The directory is that of the child process. The environment is empty when the user has a
    configuration of their own.
    """
    if user_has_own_configuration():
        return {}
    config = directory / "casasiteconfig.py"
    config.write_text(_TEMPLATE.format(data=str(casadata_dir()), log=str(directory / CASA_LOG)))
    return {"CASASITECONFIG": str(config)}
