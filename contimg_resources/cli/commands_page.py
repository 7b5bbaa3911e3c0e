"""The page of all commands, from their own help texts.

Belongs here: that page. Doesn't: any text about a command, which stands where the command is.
"""

import sys
from pathlib import Path

import typer
import typer.cli

from contimg_resources.cli.main import app

_HEAD = """# Commands

Every command takes `--state` and `--help`, prints JSON with `--json` where there is a result, and
ends with an exit code that a script can use: 0 done; 1 the answer is no, or the work failed; 2
usage or configuration; 3 CASA isn't there; 130 interrupted, 143 terminated. This page is made of
the help texts by `make docs`.
"""


def commands_page() -> str:
    """Return the page as Markdown."""
    command = typer.main.get_command(app)
    page = typer.cli.get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="contimg", title="contimg"
    )
    # Rich's table of links is left to the site's own table of contents.
    return f"{_HEAD}\n{page.partition('**Options**')[2].partition('## ')[2].join(('## ', ''))}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(commands_page())
