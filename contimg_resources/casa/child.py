"""What runs inside the CASA process: read requests, call one function for each, write its result.

Started by `contimg_resources.casa.process` as ``python -m contimg_resources.casa.child``. Each line
of its standard input names, in JSON, the directory of a request; it ends when that closes.
"""

import gc
import importlib
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from contimg_resources.casa.process import REQUEST
from contimg_resources.casa.progress import report_done
from contimg_resources.casa.siteconfig import CASA_LOG
from contimg_resources.directories import UNFINISHED_VARIABLE
from contimg_resources.errors import CasaUnavailable, ContimgError


def _resolve(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{target} is no function")
    return function  # type: ignore[no-any-return]


def main(loads: str | None = None) -> int:
    """Serve requests until there are no more.

    Parameters
    ----------
    loads : str, optional
        ``module:function`` of a generator that loads what requests will need, piece by piece.
    """
    # Loading CASA makes hundreds of thousands of objects, which would be looked through in vain.
    gc.set_threshold(200_000)
    # What is started from here must not read what is meant for this process.
    requests = os.fdopen(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if loads is not None:
        _load(loads, requests.fileno())
    home = Path.cwd()
    for line in requests:
        serve(Path(json.loads(line)), home)
        # The directory of a request goes with it.
        os.chdir(home)
        report_done()
    return 0


def _load(loads: str, requests: int) -> None:
    """Load until all is there or somebody waits; a request tells itself what it lacks."""
    try:
        for _ in _resolve(loads)():
            if select.select([requests], [], [], 0)[0]:
                break
    except Exception:
        traceback.print_exc()


def serve(exchange: Path, home: Path) -> None:
    """Serve the request found in `exchange`: ``result.json`` holds its result then.

    Parameters
    ----------
    exchange : Path
        Directory of the request.
    home : Path
        Directory of this process, with its configuration of CASA if that is ours.
    """
    taken = (exchange / REQUEST).rename(exchange / "taken.json")
    request = json.loads(taken.read_text())
    os.chdir(request["directory"])
    os.environ[UNFINISHED_VARIABLE] = str(exchange / "unfinished")
    _log_to(Path(request["log"]), home / CASA_LOG if request["casa_log"] else None)
    try:
        function = _resolve(request["target"])
        hints = get_type_hints(function)
        argument_type = next(t for name, t in hints.items() if name != "return")
        argument = TypeAdapter(argument_type).validate_python(request["argument"])
        began_s = time.perf_counter()
        value = function(argument)
        payload = {
            "seconds": time.perf_counter() - began_s,
            "value": TypeAdapter(hints["return"]).dump_python(value, mode="json"),
        }
    except ContimgError as error:
        payload = {"error": error.as_dict()}
    except ImportError as error:
        if not (error.name or "").startswith("casa"):
            raise
        payload = {"error": CasaUnavailable(f"CASA can't be imported: {error}").as_dict()}
    except Exception as error:
        traceback.print_exc()
        payload = {
            "error": {
                "type": "CasaError",
                "message": f"{request['target']}: {type(error).__name__}: {error}",
                "details": {"traceback": traceback.format_exc()},
            }
        }
    partial = exchange / "result.json.part"
    partial.write_text(json.dumps(payload))
    partial.rename(exchange / "result.json")


def _log_to(log: Path, casa_log: Path | None) -> None:
    """Append to this file from now on what is printed, and what CASA logs if that is ours.

    CASA keeps the name of its log from when it was loaded, and its tasks take it up whenever they
    are. So that name stays and is a link, which leads to the file.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)
    if casa_log is None:
        return
    casa_log.unlink(missing_ok=True)
    casa_log.symlink_to(log.absolute())
    for module, sink in (("casatools", "logger"), ("casatasks", "casalog")):
        if module in sys.modules:
            getattr(sys.modules[module], sink).setlogfile(str(casa_log))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
