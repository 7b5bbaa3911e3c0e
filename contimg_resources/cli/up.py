"""``contimg up``: the platform on the user's own directories until Ctrl-C.

Belongs here: arguments and waiting. Doesn't: starting and ending (`.platform`).
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import StateDirectory
from contimg_resources.cli.console import progress, remark
from contimg_resources.errors import ConfigurationError
from contimg_resources.settings import Settings, load_settings

_LOOK_S = 2.0


def up(
    state: StateDirectory = None,
    ms_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where MS arrive. Default: that of the settings."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the web interface on 127.0.0.1.")
    ] = 3000,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Serve to onlookers: nothing can be started.")
    ] = False,
) -> None:
    """Serve the platform: Dagster's daemon and web interface, sensors on, until Ctrl-C.

    Ctrl-C or SIGTERM stop everything that was started; runs in progress end as failed and start
    again when the platform does.

    Example: `contimg up --state /data/contimg --ms-dir /data/ms/5min`
    """
    from contimg_resources.cli.platform import Platform

    settings = settings_for(state, ms_dir)
    settings.incoming_dir.mkdir(parents=True, exist_ok=True)
    platform = Platform(
        settings.state, port=port, environment=environment_of(settings), read_only=read_only
    )
    with suppress(KeyboardInterrupt), platform, progress("up") as say:
        say("starting Dagster", None)
        platform.wait_until_ready()
        if not read_only:
            say("turning the sensors on", None)
            platform.start_sensors()
        remark(f"contimg is up: {platform.address}")
        remark(f"MS directory {settings.incoming_dir}; state {settings.state}; Ctrl-C stops it")
        say("serving", None)
        while True:
            platform.check_alive()
            time.sleep(_LOOK_S)
    remark("contimg is down")


def settings_for(state: Path | None, ms_dir: Path | None) -> Settings:
    """Return the settings of this process with two of them replaced.

    Parameters
    ----------
    state : Path or None
        State directory; None: that of the settings.
    ms_dir : Path or None
        Where MS arrive; None: that of the settings.
    """
    settings = load_settings()
    given = {"state": state, "ms_dir": ms_dir}
    return settings.model_copy(update={k: v.absolute() for k, v in given.items() if v is not None})


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child process these paths; all else it reads itself."""
    if (config := os.environ.get("CONTIMG_CONFIG")) and not Path(config).is_file():
        raise ConfigurationError(f"CONTIMG_CONFIG names {config}, which is no file")
    found = {"CONTIMG_STATE": str(settings.state), "CONTIMG_MS_DIR": str(settings.incoming_dir)}
    if config:
        # The children work in another directory.
        found["CONTIMG_CONFIG"] = str(Path(config).absolute())
    return found
