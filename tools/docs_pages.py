"""Write the pages of the documentation that the code determines, so that the two always agree.

Belongs here: docs/configuration.md from the settings, docs/commands.md from the help texts,
docs/schema from the models of the documents. Doesn't: defaults and meanings (see
`contimg_resources.settings`), help texts, schemas (see `contimg_resources.export.model`). Run by
``make docs``; a test fails while a page in the checkout isn't up to date.
"""

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
import typer.cli
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from contimg_resources.cli.main import app
from contimg_resources.export.schemas import DIRECTORY, schemas
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


_COMMANDS_HEAD = """# Commands

Every command takes `--state` and `--help`, prints JSON with `--json` unless it runs until it is
stopped, and ends with an exit code for scripts: 0 done; 1 the answer is no, or the work failed; 2
wrong usage or configuration; 3 CASA isn't installed; 130 interrupted, 143 terminated. Commands that
remove or replace something can be tried with `--dry-run`. `make docs` generates this page from the
help texts.
"""


def commands_page() -> str:
    """Return the page as Markdown."""
    command = typer.main.get_command(app)
    page = typer.cli.get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="contimg", title="contimg"
    )
    # The site itself lists the commands, which is what stands before the first of them.
    return f"{_COMMANDS_HEAD}\n{page[page.index('## `contimg ') :]}"


def write_schema_pages(docs: Path) -> None:
    """Write the schemas below the documentation's directory, and remove obsolete ones."""
    directory = docs / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    current = {f"{name}.json": text for name, text in schemas().items()}
    for name, text in current.items():
        (directory / name).write_text(text)
    for file in directory.glob("*.json"):
        if file.name not in current:
            file.unlink()


if __name__ == "__main__":
    _DOCS = Path(sys.argv[1])
    (_DOCS / "configuration.md").write_text(configuration_page())
    (_DOCS / "commands.md").write_text(commands_page())
    write_schema_pages(_DOCS)
