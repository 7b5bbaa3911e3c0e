"""Write docs/configuration.md from the settings, so that the two always agree.

Belongs here: the page's text. Doesn't: defaults and meanings, which are in
`contimg_resources.settings`. Run by ``make docs``; a test fails while the page in the checkout
isn't up to date.
"""

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from contimg_resources.settings import Settings

_HEAD = """\
# Configuration

Written by `make docs` from `contimg_resources/settings/`; change those files, not this one.

A value comes from the first of:

1. an argument of the command, where it has one;
2. the environment variable in the table;
3. the TOML file that `CONTIMG_CONFIG` names, with a table a section:

   ```toml
   ms_dir = "/data/ms/5min"

   [imaging]
   image_size = 2400
   cell_arcsec = 6.0
   ```

4. the default.

A name that isn't known, or a value that isn't allowed, stops the command with exit code 2 and one
line that names it. Lists are written as JSON in the environment (`'["104", "105"]'`).
`contimg up` hands its environment to Dagster's processes; a changed setting needs a restart.

Two more variables are read: `CONTIMG_DEBUG=1` makes the command line show where an error comes
from, and `CASASITECONFIG` (or `~/.casa/config.py`, `~/.casa/data`) makes CASA use your own
configuration and data instead of those of the package `casadata`.
"""


def configuration_page() -> str:
    """Return the page as Markdown."""
    sections = {
        name: field
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    top = {name: field for name, field in Settings.model_fields.items() if name not in sections}
    parts = [_HEAD, "## Paths and databases\n", _table("CONTIMG_", top)]
    for name, field in sections.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        about = (section.__doc__ or "").strip().splitlines()[0]
        parts += [f"## [{name}] {about.rstrip('.')}\n"]
        parts += [_table(f"CONTIMG_{name.upper()}__", section.model_fields)]
    return "\n".join(parts)


def _table(prefix: str, fields: dict[str, FieldInfo]) -> str:
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        meaning = " ".join((field.description or "").split())
        rows.append(
            f"| `{prefix}{name.upper()}` | {_type(field.annotation)} | {_default(name, field)} "
            f"| {meaning} |"
        )
    return "\n".join(rows) + "\n"


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(a) for a in get_args(annotation) if a is not type(None))
    if origin is Literal:
        return ", ".join(f"`{a}`" for a in get_args(annotation))
    if origin is tuple:
        return f"list of {_type(get_args(annotation)[0])}"
    names = {str: "text", int: "integer", float: "number", bool: "true/false", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(name: str, field: FieldInfo) -> str:
    if name == "state":
        return "`~/.local/state/contimg` (`$XDG_STATE_HOME/contimg`)"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, dict):
        return "; ".join(f"{key}: `{' '.join(values)}`" for key, values in default.items())
    if field.default is PydanticUndefined or field.default is None or field.default == "":
        return "none"
    if isinstance(field.default, tuple):
        return "`" + ", ".join(str(d) for d in field.default) + "`"
    return f"`{field.default}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(configuration_page())
