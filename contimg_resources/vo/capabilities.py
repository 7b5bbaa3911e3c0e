"""What the services say about themselves: VOSI capabilities, tables, availability.

Belongs here: these XML documents. Doesn't: HTTP.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from contimg_resources.vo.adql import LONGEST_RUN_S
from contimg_resources.vo.jobs import KEPT_S
from contimg_resources.vo.parameters import DEFAULT_ROWS, MOST_ROWS, VOTABLE
from contimg_resources.vo.records import TITLES
from contimg_resources.vo.tap import CSV, PARQUET, SCHEMAS, columns_of, datatype_of, schema_rows

_STANDARD = "ivo://ivoa.net/std/"
_NAMESPACES = " ".join(
    f'xmlns:{prefix}="http://www.ivoa.net/xml/{name}"'
    for prefix, name in (
        ("vosi", "VOSICapabilities/v1.0"),
        ("vr", "VOResource/v1.0"),
        ("vs", "VODataService/v1.1"),
        ("tr", "TAPRegExt/v1.0"),
        ("cs", "ConeSearch/v1.0"),
    )
)
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_GEOMETRY = ("POINT", "CIRCLE", "POLYGON", "CONTAINS", "INTERSECTS", "DISTANCE")
_LANGUAGE = (
    "A part of ADQL 2.0: SELECT [DISTINCT] [TOP n] of columns, arithmetic, COUNT, SUM, AVG, MIN "
    "and MAX from one table; WHERE, GROUP BY, HAVING, ORDER BY. Joins, subqueries and other "
    "functions are refused by name."
)

#: Services by the address of their documents below that of all services.
SERVICES = (
    *("scs/sources", "scs/candidates", "sia2", "tap"),
    *("links/images", "links/sources", "links/candidates"),
)


def capabilities(address: str, services: Sequence[str] = SERVICES) -> bytes:
    """Return the capabilities of services; `address` is that of all services."""
    parts = [part for service in services for part in _of_service(address, service)]
    first = f"{address}{services[0]}/" if len(services) == 1 else address
    for name, standard in (
        ("capabilities", "capabilities"),
        ("availability", "availability"),
        *([("tables", "tables-1.1")] if tuple(services) == ("tap",) else []),
    ):
        parts.append(_capability(f"VOSI#{standard}", first + name, use="full", role=False))
    body = "\n".join(parts)
    return _document(f"<vosi:capabilities {_NAMESPACES} {_XSI}>\n{body}\n</vosi:capabilities>")


def availability(is_up: bool, note: str = "") -> bytes:
    """Return whether the services work."""
    told = f"<note>{escape(note)}</note>" if note else ""
    return _document(
        '<availability xmlns="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
        f"<available>{str(is_up).lower()}</available>{told}</availability>"
    )


def tables() -> bytes:
    """Return the tables that can be queried, with their columns."""
    names = schema_rows("tables").values["table_name"].tolist()
    schemas = "\n".join(
        f"<schema><name>{schema}</name><description>{escape(text)}</description>"
        + "".join(_table(name) for name in names if name.startswith(f"{schema}."))
        + "</schema>"
        for schema, text in SCHEMAS.items()
    )
    return _document(
        '<vosi:tableset xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" '
        f'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" {_XSI}>\n{schemas}\n'
        "</vosi:tableset>"
    )


def _of_service(address: str, service: str) -> list[str]:
    url = f"{address}{service}"
    if service.startswith("scs/"):
        return [
            _capability(
                "ConeSearch",
                f"{url}?",
                kind="cs:ConeSearch",
                more=f"<maxSR>180</maxSR><maxRecords>{MOST_ROWS}</maxRecords>"
                "<verbosity>false</verbosity>"
                "<testQuery><ra>0</ra><dec>0</dec><sr>0.1</sr></testQuery>",
            )
        ]
    if service == "sia2":
        return [_capability("SIA#query-2.0", f"{url}/query", version="2.0")]
    if service.startswith("links/"):
        return [
            _capability(
                "DataLink#links-1.1", url, version="1.1", media=f"{VOTABLE};content=datalink"
            )
        ]
    features = "".join(f"<feature><form>{word}</form></feature>" for word in _GEOMETRY)
    formats = "".join(
        f"<outputFormat><mime>{mime}</mime><alias>{alias}</alias></outputFormat>"
        for mime, alias in ((VOTABLE, "votable"), (CSV, "csv"), (PARQUET, "parquet"))
    )
    more = (
        f'<dataModel ivo-id="{_STANDARD}ObsCore#core-1.1">ObsCore-1.1</dataModel>'
        f'<language><name>ADQL</name><version ivo-id="{_STANDARD}ADQL#v2.0">2.0</version>'
        f"<description>{escape(_LANGUAGE)}</description>"
        f'<languageFeatures type="{_STANDARD}TAPRegExt#features-adqlgeo">{features}'
        f"</languageFeatures></language>{formats}"
        f"<retentionPeriod><default>{KEPT_S}</default><hard>{KEPT_S}</hard></retentionPeriod>"
        f"<executionDuration><default>{LONGEST_RUN_S:.0f}</default>"
        f"<hard>{LONGEST_RUN_S:.0f}</hard></executionDuration>"
        f'<outputLimit><default unit="row">{DEFAULT_ROWS}</default>'
        f'<hard unit="row">{MOST_ROWS}</hard></outputLimit>'
    )
    return [_capability("TAP", url, version="1.1", kind="tr:TableAccess", more=more)]


def _capability(
    standard: str,
    url: str,
    *,
    version: str = "",
    kind: str = "",
    use: str = "base",
    role: bool = True,
    media: str = VOTABLE,
    more: str = "",
) -> str:
    typed = f' xsi:type="{kind}"' if kind else ""
    attributes = (' role="std"' if role else "") + (f' version="{version}"' if version else "")
    result = f"<resultType>{escape(media)}</resultType>" if role else ""
    return (
        f"<capability{typed} standardID={quoteattr(_STANDARD + standard)}>"
        f'<interface xsi:type="vs:ParamHTTP"{attributes}>'
        f'<accessURL use="{use}">{escape(url)}</accessURL>{result}</interface>{more}</capability>'
    )


def _table(name: str) -> str:
    title = TITLES.get(name, "A part of TAP_SCHEMA")
    return (
        f'<table type="output"><name>{name}</name><description>{escape(title)}</description>'
        + "".join(_column(name, column) for column in columns_of(name))
        + "</table>"
    )


def _column(table: str, name: str) -> str:
    what, datatype = columns_of(table)[name], datatype_of(table, name)
    optional = "".join(
        f"<{tag}>{escape(text)}</{tag}>"
        for tag, text in (("unit", what.unit), ("ucd", what.ucd), ("utype", what.utype))
        if text
    )
    size = ' arraysize="*"' if datatype == "char" else ""
    extended = f' extendedType="{what.xtype}"' if what.xtype else ""
    return (
        f"<column><name>{name}</name><description>{escape(what.description)}</description>"
        f'{optional}<dataType xsi:type="vs:VOTableType"{size}{extended}>{datatype}</dataType>'
        "</column>"
    )


def _document(body: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode()
