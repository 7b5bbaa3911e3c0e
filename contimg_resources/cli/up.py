"""``contimg up``: the platform on the user's own directories until Ctrl-C.

Belongs here: arguments and waiting. Doesn't: starting and ending (`.platform`).
"""

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import StateDirectory
from contimg_resources.cli.console import progress, remark
from contimg_resources.cli.given import environment_of, given_settings

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
    onlookers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            metavar="PORT",
            help="Serve on this port of 127.0.0.1 too, where nothing can be started.",
        ),
    ] = None,
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

    # A service manager's stop is as good an end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = given_settings(state=state, ms_dir=ms_dir)
    settings.incoming_dir.mkdir(parents=True, exist_ok=True)
    platform = Platform(
        settings.state,
        port=port,
        environment=environment_of(settings),
        read_only=read_only,
        onlookers_port=onlookers,
    )
    with suppress(KeyboardInterrupt), platform, progress("up") as say:
        say("starting Dagster", None)
        platform.wait_until_ready()
        if not read_only:
            say("turning the sensors on", None)
            platform.start_sensors()
        remark(f"contimg is up: {platform.address}")
        if onlookers is not None:
            remark(f"for onlookers: http://127.0.0.1:{onlookers}")
        remark(f"MS directory {settings.incoming_dir}; state {settings.state}; Ctrl-C stops it")
        say("serving", None)
        while True:
            platform.check_alive()
            time.sleep(_LOOK_S)
    remark("contimg is down")
