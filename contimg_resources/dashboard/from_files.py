"""A copy of an export that opens by double click, without a server.

Belongs here: the documents as scripts, and the dashboard's modules as one script. Doesn't: writing
documents, serving.

From files (``file://``) browsers load neither modules nor JSON, only classic scripts. Beside each
page of a document, ``PAGE.json.js`` hands its content to the dashboard (see ``loading.js``).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from contimg_resources.core.directories import whole_file
from contimg_resources.export.directory import INDEX

#: The dashboard's modules as one script.
BUNDLE = "dashboard.js"

_MAIN = "main.js"
_MODULE_TAG = '<script type="module" src="js/main.js"></script>'
_BUNDLE_TAG = f'<script defer src="{BUNDLE}"></script>'
_IMPORT = re.compile(r'^import (\{[^}]*\}|\* as \w+) from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_SCRIPT_NAME = re.compile(r"[0-9]{4,}-[0-9a-f]{12}\.json\.js", re.ASCII)


def page_from_files(page: str) -> str:
    """Return the dashboard's page with the one script in place of the modules."""
    return page.replace(_MODULE_TAG, _BUNDLE_TAG, 1)


def one_script(modules: Path) -> str:
    """Return ``main.js`` of a directory, and all that it imports, as one classic script.

    Raises
    ------
    ValueError
        If a module imports or exports in another way than ours do.
    """
    found = "\n".join(_functions(modules, _MAIN, set()))
    return f'"use strict";\n{{\nconst modules = {{}};\n{found}\n}}\n'


def _functions(modules: Path, name: str, known: set[str]) -> Iterator[str]:
    """Yield the statements that make a module and, before it, those that it imports."""
    known.add(name)
    text = (modules / name).read_text()
    here = (modules / name).parent

    def required(found: re.Match[str]) -> str:
        names = found[1].removeprefix("* as ").replace(" as ", ": ")
        return f'const {names} = modules["{_resolved(here / found[2], modules)}"];'

    for found in _IMPORT.finditer(text):
        other = _resolved(here / found[2], modules)
        if other not in known:
            yield from _functions(modules, other, known)
    exported = ", ".join(found[1] for found in _EXPORT.finditer(text))
    body = _EXPORT.sub("", _IMPORT.sub(required, text))
    if other_form := _OTHER.search(body):
        raise ValueError(f"{name}: {other_form[0]!r} isn't among the forms that become one script")
    yield f'modules["{name}"] = (() => {{\n{body}return {{ {exported} }};\n}})();'


def _resolved(path: Path, modules: Path) -> str:
    return path.resolve().relative_to(modules.resolve()).as_posix()


def write_documents_as_scripts(directory: Path) -> None:
    """Write the script of each page that the index of an export names; older ones are removed.

    Raises
    ------
    OSError
        If a file can't be written.
    """
    index = (directory / INDEX).read_bytes()
    named = [page["path"] for pages in json.loads(index)["pages"].values() for page in pages]
    for path in named:
        place = directory / f"{path}.js"
        # A page with this name never changes.
        if not place.is_file():
            _hand_over(path, (directory / path).read_bytes(), place)
    _hand_over(INDEX, index, directory / f"{INDEX}.js")
    kept = {f"{path}.js" for path in named}
    for place in directory.glob("*/*.json.js"):
        if _SCRIPT_NAME.fullmatch(place.name) and f"{place.parent.name}/{place.name}" not in kept:
            place.unlink(missing_ok=True)


def _hand_over(path: str, document: bytes, place: Path) -> None:
    content = b"contimgDocument(%s, %s);\n" % (json.dumps(path).encode(), document.strip())
    whole_file(place, lambda partial: partial.write_bytes(content))
