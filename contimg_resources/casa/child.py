"""The main program of the CASA process: read requests, call their functions, write the results.

Started by `contimg_resources.casa.process` as ``python -m contimg_resources.casa.child``. Each line
of its standard input names, in JSON, the directory of a request; it ends when the input closes.
"""

import gc
import importlib
import json
import os
import re
import select
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from contimg_resources.casa.process import REQUEST
from contimg_resources.casa.siteconfig import CASA_LOG
from contimg_resources.core import fencing
from contimg_resources.core.directories import UNFINISHED_VARIABLE
from contimg_resources.core.disk_space import what_refuses
from contimg_resources.core.errors import CasaUnavailable, ContimgError
from contimg_resources.core.plain_text import PlainStream, keep_logs_plain
from contimg_resources.core.progress import report_done

#: A failed assertion of casacore, with its C++ expression.
_INTERNAL_CHECK = re.compile(r"(Failed )?Always?Assert(Exit)?\b[^;]*")

#: The line of CASA's source code that raised an error.
_SOURCE_LINE = re.compile(r"\(?([Ff]ile:? )?/?[\w./+-]*\.(cc|h|hpp|tcc)[\s:,]+(line )?\d+\)?:?")


def _resolve(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{target} is not a function")
    return function  # type: ignore[no-any-return]


def main(loads: str | None = None) -> int:
    """Serve requests until there are no more.

    `loads` is ``module:function`` of a generator that loads modules for the requests, one after
    another.
    """
    # Names in an MS may hold control characters, and the output is read as a log.
    sys.stdout, sys.stderr = PlainStream(sys.stdout), PlainStream(sys.stderr)
    keep_logs_plain()
    # Loading CASA makes hundreds of thousands of objects, which garbage collection would scan in
    # vain.
    gc.set_threshold(200_000)
    # Child processes must not read the requests of this process.
    requests = os.fdopen(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if loads is not None:
        _load(loads, requests.fileno())
    home = Path.cwd()
    for line in requests:
        serve(Path(json.loads(line)), home)
        # The directory of a request is removed with it.
        os.chdir(home)
        report_done()
    return 0


def _load(loads: str, requests: int) -> None:
    """Load modules until all are loaded or a request waits, which then loads the rest."""
    try:
        for _ in _resolve(loads)():
            if select.select([requests], [], [], 0)[0]:
                break
    except Exception:
        traceback.print_exc()


def serve(exchange: Path, home: Path) -> None:
    """Serve the request in `exchange`, and write its result to ``result.json``.

    `home` is the directory of this process, with the CASA configuration if contimg wrote it.
    """
    taken = (exchange / REQUEST).rename(exchange / "taken.json")
    request = json.loads(taken.read_text())
    os.chdir(request["directory"])
    os.environ[UNFINISHED_VARIABLE] = str(exchange / "unfinished")
    os.environ[fencing.VARIABLE] = str(exchange) if request["fenced"] else ""
    _log_to(Path(request["log"]), home / CASA_LOG if request["casa_log"] else None)
    argument, directory = None, str(Path.cwd())
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
        print(error.message, file=sys.stderr)
        payload = {"error": _for_users(error.as_dict(), argument, directory)}
    except ImportError as error:
        if not (error.name or "").startswith("casa"):
            raise
        payload = {"error": CasaUnavailable(f"CASA can't be imported: {error}").as_dict()}
    except Exception as error:
        traceback.print_exc()
        words = f"{request['target']}: {type(error).__name__}: {error}"
        if why := what_refuses(Path(directory)):
            words = f"{words} ({why})"
        record = {"type": "CasaError", "message": words, "details": {}}
        payload = {"error": _for_users(record, argument, directory)}
        payload["error"]["details"]["traceback"] = traceback.format_exc()
    partial = exchange / "result.json.part"
    partial.write_text(json.dumps(payload))
    partial.rename(exchange / "result.json")


def _for_users(record: dict[str, Any], argument: Any, directory: str) -> dict[str, Any]:
    """Return an error with the paths and terms that the user knows.

    `record` is that of `ContimgError.as_dict`. The failed function's argument has the input in its
    ``ms``, where it has one; `directory` was its working directory.
    """
    ms = getattr(argument, "ms", None)

    def plain(text: str) -> str:
        if ms is not None:
            # A working copy or an intermediate product of the input.
            text = re.sub(rf"{re.escape(directory)}/[^\s/:,;'\"]*\.ms\b", str(ms), text)
        text = text.replace(f"{directory}/", "")
        text = _INTERNAL_CHECK.sub("an internal check of CASA failed", text)
        return " ".join(_SOURCE_LINE.sub("", text).split())

    details = {
        name: plain(value)
        if isinstance(value, str)
        else [plain(v) if isinstance(v, str) else v for v in value]
        if isinstance(value, list)
        else value
        for name, value in record["details"].items()
    }
    return {**record, "message": plain(record["message"]), "details": details}


def _log_to(log: Path, casa_log: Path | None) -> None:
    """Append all further output to a file, and CASA's log if contimg configured CASA.

    CASA keeps the log name from when it was loaded, and its tasks read it when they are loaded.
    So that name stays, as a link to the file.
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
