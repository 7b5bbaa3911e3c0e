"""The origin recorded in a calibrated MS. Needs CASA.

Belongs here: the keyword that holds it. Doesn't: its content (see
`contimg_resources.calibration.apply.calibrated_ms`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contimg_resources.casa.tables import opened

#: Keyword of the calibrated MS that holds its origin as JSON.
ORIGIN_KEYWORD = "CONTIMG_ORIGIN"


def write_origin(ms: Path, origin: Mapping[str, Any]) -> None:
    """Record in an MS where it came from."""
    import casatools

    table = casatools.table()
    table.open(str(ms), nomodify=False)
    try:
        table.putkeyword(ORIGIN_KEYWORD, json.dumps(origin))
    finally:
        table.close()


def read_origin(ms: Path) -> dict[str, Any]:
    """Return the record of `write_origin` in an MS; empty for any other."""
    with opened(ms) as table:
        known = ORIGIN_KEYWORD in table.keywordnames()
        return dict(json.loads(table.getkeyword(ORIGIN_KEYWORD))) if known else {}
