"""The envelope of a VOEvent 2.0.

Belongs here: the elements that every packet has. Doesn't: what is said about an event (see
`follow_up` and `appearances`).

A VOEvent has the structure of the IVOA's recommendation 2.0 (Seaman et al. 2011). The first packet
about a candidate is permanent; each later one cites it.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import NamedTuple

from contimg_resources.core.plain_text import plain_line
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.instrument.dsa110 import HEIGHT_M, LATITUDE_DEG, LONGITUDE_DEG

#: Name of the observatory in the packets.
SITE = "DSA-110, Owens Valley Radio Observatory"

_NAMESPACE = "http://www.ivoa.net/xml/VOEvent/v2.0"
_SCHEMA = "http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_COORDINATES = "UTC-ICRS-TOPO"


class Param(NamedTuple):
    """A named value; empty texts are left out."""

    name: str
    value: str
    ucd: str = ""
    unit: str = ""
    data_type: str = ""
    meaning: str = ""


class Place(NamedTuple):
    """Where and when an event was observed."""

    ra_deg: float  #: ICRS.
    dec_deg: float  #: ICRS.
    error_deg: float  #: Error of the position.
    utc: str  #: Time, ISO 8601 with Z.
    error_s: float | None = None  #: Error of the time; None: not known.


@dataclass(frozen=True)
class Packet:
    """The contents of a VOEvent."""

    ivorn: str  #: Its identifier.
    author: str  #: Identifier of the platform's VOEvents.
    date_mjd: float  #: Its date, MJD.
    params: tuple[Param, ...]  #: Its values.
    place: Place | None  #: Where and when; None: not known.
    how: str  #: How the data were made.
    name: str  #: What it may be.
    why: str  #: Reason for that.
    description: str  #: The event in a sentence.
    expires_mjd: float | None = None  #: When it is no longer of interest, MJD.
    url: str | None = None  #: Page about the event.
    first_ivorn: str | None = None  #: Identifier of the first packet; None: this is the first.
    is_retraction: bool = False  #: Whether it takes the first packet back.
    retraction: str = ""  #: Reason for that.


def packet_ivorn(ivorn: str, candidate_id: str, day_mjd: int) -> str:
    """Return the identifier of the packet about a candidate at the end of a UTC day."""
    return f"{ivorn}#{candidate_id}/{day_mjd}"


def voevent(packet: Packet) -> bytes:
    """Return a packet in UTF-8; without a place there is no ``WhereWhen``."""
    for prefix, uri in (("voe", _NAMESPACE), ("xsi", _INSTANCE)):
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.Element(
        f"{{{_NAMESPACE}}}VOEvent",
        {
            "version": "2.0",
            "ivorn": packet.ivorn,
            "role": "observation",
            f"{{{_INSTANCE}}}schemaLocation": f"{_NAMESPACE} {_SCHEMA}",
        },
    )
    who = _add(root, "Who")
    _add(who, "AuthorIVORN", packet.author)
    _add(who, "Date", isot_from_mjd(packet.date_mjd))
    _add(_add(who, "Author"), "title", "DSA-110 continuum imaging (contimg)")
    what = _add(root, "What")
    for param in packet.params:
        about = {"unit": param.unit, "ucd": param.ucd, "dataType": param.data_type}
        known = {k: v for k, v in about.items() if v}
        added = _add(what, "Param", name=param.name, value=param.value, **known)
        if param.meaning:
            _add(added, "Description", param.meaning)
    if packet.place is not None:
        _add_place(_add(root, "WhereWhen"), packet.place)
    _add(_add(root, "How"), "Description", packet.how)
    expires = packet.expires_mjd
    why = _add(root, "Why", **({} if expires is None else {"expires": isot_from_mjd(expires)}))
    _add(why, "Name", packet.name)
    _add(why, "Description", packet.why)
    if packet.first_ivorn is not None:
        cite = "retraction" if packet.is_retraction else "supersedes"
        citations = _add(root, "Citations")
        _add(citations, "EventIVORN", packet.first_ivorn, cite=cite)
        if packet.retraction:
            _add(citations, "Description", packet.retraction)
    _add(root, "Description", packet.description)
    if packet.url is not None:
        _add(root, "Reference", uri=packet.url, type="url")
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_place(where: ElementTree.Element, place: Place) -> None:
    location = _add(where, "ObsDataLocation")
    site = _add(location, "ObservatoryLocation", id=SITE)
    _add(site, "AstroCoordSystem", id="UTC-GEOD-TOPO")
    coordinates = _add(site, "AstroCoords", coord_system_id="UTC-GEOD-TOPO")
    at = _add(coordinates, "Position3D", unit="deg-deg-m")
    for number, name in enumerate(("longitude", "latitude", "elevation"), 1):
        _add(at, f"Name{number}", name)
    values = _add(at, "Value3")
    for number, value in enumerate((LONGITUDE_DEG, LATITUDE_DEG, HEIGHT_M), 1):
        _add(values, f"C{number}", repr(value))
    observed = _add(location, "ObservationLocation")
    _add(observed, "AstroCoordSystem", id=_COORDINATES)
    coordinates = _add(observed, "AstroCoords", coord_system_id=_COORDINATES)
    time = _add(coordinates, "Time", unit="s")
    _add(_add(time, "TimeInstant"), "ISOTime", place.utc.removesuffix("Z"))
    if place.error_s is not None:
        _add(time, "Error", repr(round(place.error_s, 1)))
    at = _add(coordinates, "Position2D", unit="deg")
    _add(at, "Name1", "RA")
    _add(at, "Name2", "Dec")
    values = _add(at, "Value2")
    _add(values, "C1", repr(place.ra_deg))
    _add(values, "C2", repr(place.dec_deg))
    _add(at, "Error2Radius", f"{place.error_deg:.6f}")


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", /, **about: str
) -> ElementTree.Element:
    """Add an element; control characters, which XML can't contain, become visible ones."""
    added = ElementTree.SubElement(parent, tag, {k: plain_line(v) for k, v in about.items()})
    added.text = plain_line(text) or None
    return added
