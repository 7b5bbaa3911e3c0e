"""The page of all commands, from their help texts.

Belongs here: that page. Doesn't: the text about a command, which is in the command's module.
"""

import sys
from pathlib import Path

import typer
import typer.cli

from contimg_resources.cli.main import app

_HEAD = """# Commands

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
    return f"{_HEAD}\n{page[page.index('## `contimg ') :]}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(commands_page())
