"""What runs inside the CASA process: read a request, call one function, write the result.

Started by `contimg_resources.casa.door` as ``python -m contimg_resources.casa.child``.
"""

import gc
import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from contimg_resources.errors import CasaUnavailable, ContimgError


def _resolve(target: str) -> Callable[[Any], Any]:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{target} is no function")
    return function  # type: ignore[no-any-return]


def main(exchange: Path) -> int:
    """Serve one request found in `exchange`; 0 when ``result.json`` holds a result."""
    # Loading CASA makes hundreds of thousands of objects, which would be looked through in vain.
    gc.set_threshold(200_000)
    request = json.loads((exchange / "request.json").read_text())
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
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
