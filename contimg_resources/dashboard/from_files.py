"""A copy of an export that opens by double click, without a server.

Belongs here: the documents as scripts, the dashboard's modules as one script, the maps of the sky.
Doesn't: writing documents, making maps, serving.

From files (``file://``) browsers load neither modules nor JSON, only classic scripts and pictures.
Beside each page of a document, ``PAGE.json.js`` hands its content to the dashboard (see
``loading.js``); so it is with the lists of maps and of their tiles.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from contimg_resources.core.directories import whole_file
from contimg_resources.core.trees import remove_tree
from contimg_resources.dashboard import COVERAGE, MAPS, SKY
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


def copy_maps(source: Path, directory: Path) -> None:
    """Copy the maps of the sky of an export into a copy of it: the pictures of their tiles.

    Pictures that are there with the same size and time stay; maps that `source` lacks are removed.

    Parameters
    ----------
    source, directory : Path
        Directories of the export and of the copy.

    Raises
    ------
    OSError
        If a file can't be read or written.
    """
    maps = source / SKY / MAPS
    content = maps.read_bytes() if maps.is_file() else b"[]"
    names = [layer["name"] for layer in json.loads(content)]
    sky = directory / SKY
    sky.mkdir(exist_ok=True)
    for place in sky.iterdir():
        if place.is_dir() and place.name not in names:
            remove_tree(place)
    for name in names:
        there = sky / name
        there.mkdir(exist_ok=True)
        tiles = {p.relative_to(source / SKY) for p in (source / SKY / name).glob("Norder*/*/*.png")}
        for old in there.glob("Norder*/*/*.png"):
            if old.relative_to(sky) not in tiles:
                old.unlink()
        for tile in sorted(tiles):
            _copy(source / SKY / tile, sky / tile)
        _copy(source / SKY / name / COVERAGE, there / COVERAGE)
        coverage = (there / COVERAGE).read_bytes()
        _hand_over(f"{SKY}/{name}/{COVERAGE}", coverage, there / f"{COVERAGE}.js")
    whole_file(sky / MAPS, lambda partial: partial.write_bytes(content))
    _hand_over(f"{SKY}/{MAPS}", content, sky / f"{MAPS}.js")


def _copy(source: Path, place: Path) -> None:
    old, new = (p.stat() if p.is_file() else None for p in (place, source))
    if new is None or (old and (old.st_size, old.st_mtime) == (new.st_size, new.st_mtime)):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    whole_file(place, lambda partial: shutil.copy2(source, partial))


def _hand_over(path: str, document: bytes, place: Path) -> None:
    content = b"contimgDocument(%s, %s);\n" % (json.dumps(path).encode(), document.strip())
    whole_file(place, lambda partial: partial.write_bytes(content))
