"""Answers of the services as VOTable 1.4.

Belongs here: results with their status, errors, references to DataLink. Doesn't: HTTP.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from astropy.io.votable.tree import Group, Info, Param, Resource, VOTableFile
from numpy.typing import NDArray

from contimg_resources.core.plain_text import plain
from contimg_resources.export.tables import About, as_votable

_LINKS = "ivo://ivoa.net/std/DataLink#links-1.0"
_NO_CHARACTERS = {0xFFFE: "?", 0xFFFF: "?"}
_OVERFLOW = b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>'


@dataclass(frozen=True)
class LinkService:
    """Where DataLink answers about rows of a table."""

    url: str  #: Address of the service.
    column: str  #: Column with its parameter ``ID``.


def results(
    name: str,
    about: Mapping[str, About],
    values: Mapping[str, NDArray[Any]],
    *,
    overflow: bool = False,
    links: LinkService | None = None,
    params: Sequence[tuple[str, Any, About]] = (),
    infos: Mapping[str, str] | None = None,
) -> bytes:
    """Return a table as the answer of a service.

    Parameters
    ----------
    name : str
        Name of the table.
    about, values : mapping
        Columns, and their values of shape (n,); text must be ``str``.
    overflow : bool
        Whether rows are missing, because there are more than the limit.
    links : LinkService, optional
        Where DataLink answers about rows.
    params : sequence of (str, value, About)
        Values that hold for the whole table.
    infos : mapping, optional
        Further remarks.
    """
    file = as_votable(
        name.replace(".", "_"), about, {n: _plain(column) for n, column in values.items()}
    )
    (resource,) = file.resources
    resource.type = "results"
    resource.infos.append(Info(name="QUERY_STATUS", value="OK"))
    for title, text in (infos or {}).items():
        resource.infos.append(Info(name=title, value=text))
    table = resource.tables[0]
    table.name = name
    for title, value, what in params:
        table.params.append(_param(file, title, value, what))
    for field in table.fields:
        if field.datatype in ("char", "unicodeChar"):
            field.arraysize = "*"
    if links is not None and links.column in about:
        resource_of_links = _link_service(file, links, table.get_field_by_id_or_name(links.column))
        file.resources.append(resource_of_links)
    found = _written(file)
    if overflow:
        head, end, tail = found.rpartition(b"</TABLE>")
        found = head + end + _OVERFLOW + tail
    return found


def failure(message: str) -> bytes:
    """Return an error as VOTable, for clients of DALI and for those of the older cone search."""
    file = VOTableFile(version="1.4")
    text = for_xml(message)
    resource = Resource(type="results")
    file.resources.append(resource)
    status = Info(name="QUERY_STATUS", value="ERROR")
    status.content = text
    resource.infos.append(status)
    file.infos.append(Info(ID="Error", name="Error", value=text))
    return _written(file)


def with_ucds(about: Mapping[str, About], ucds: Mapping[str, str]) -> dict[str, About]:
    """Return columns with other UCDs, by column."""
    return {n: replace(a, ucd=ucds[n]) if n in ucds else a for n, a in about.items()}


def _written(file: VOTableFile) -> bytes:
    buffer = BytesIO()
    file.to_xml(buffer, tabledata_format="tabledata")
    return buffer.getvalue()


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column as clients read it: text in ASCII as ``char``, else as ``unicodeChar``."""
    if column.dtype.kind != "U":
        return column
    clean = np.array([for_xml(text) for text in column.tolist()], np.str_)
    found: NDArray[Any] = clean
    with suppress(UnicodeEncodeError):
        found = np.char.encode(clean, "ascii")
    return found if found.dtype.itemsize else found.astype(f"{found.dtype.kind}1")


def for_xml(text: str) -> str:
    """Return a text without characters that XML can't hold."""
    return plain(text).translate(_NO_CHARACTERS)


def _param(file: VOTableFile, name: str, value: Any, what: About) -> Param:
    is_text = isinstance(value, str)
    return Param(
        file,
        name=name,
        value=for_xml(value) if is_text else value,
        datatype="unicodeChar" if is_text else "double",
        arraysize="*" if is_text else None,
        unit=what.unit or None,
        ucd=what.ucd or None,
        ref="icrs" if what.ucd.startswith("pos.eq") else None,
    )


def _link_service(file: VOTableFile, links: LinkService, field: Any) -> Resource:
    resource = Resource(type="meta", utype="adhoc:service", name="links")
    for name, value in (("standardID", _LINKS), ("accessURL", links.url)):
        resource.params.append(Param(file, name=name, value=value, datatype="char", arraysize="*"))
    group = Group(file, name="inputParams")
    group.entries.append(
        Param(file, name="ID", value="", datatype="char", arraysize="*", ref=field.ID)
    )
    resource.groups.append(group)
    return resource
