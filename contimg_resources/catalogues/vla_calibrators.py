"""Import the VLA calibrator manual's list as calibrators for our band.

Belongs here: the list's text (two names, a table of bands for each source), flux densities at our
band from its bands, and the rejection of unsuitable sources. Doesn't: our own list as a file (see
`calibrator_lists`).
"""

import html
import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from contimg_resources.core.errors import CatalogueError, ConfigurationError, TableError
from contimg_resources.observations.calibrators import (
    FLUX_SCALE_SOURCES,
    Calibrator,
    refuse_variable,
    separation_deg,
)
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.tables.positions import parse_frame, sexagesimal_deg, to_icrs
from contimg_resources.tables.reading import read_text

#: Frequencies of the VLA's bands, GHz.
_BANDS_GHZ = {
    **{"4": 0.0738, "P": 0.3275, "L": 1.425, "S": 3.0, "C": 4.86},
    **{"X": 8.46, "U": 14.94, "K": 22.46, "Q": 43.34},
}
#: Middle of our band, GHz.
_OURS_GHZ = 1.4
_CONFIGURATIONS = "ABCD"
#: Meaning of a band's codes for a calibrator that must be a point source.
_UNFIT = {
    "X": "not to be used",
    "C": "confused by its surroundings",
    "?": "of unknown structure",
}
_SAME_SOURCE_DEG = 0.01
_HEADING = re.compile(r"BAND\s+A\s+B\s+C\s+D\s+FLUX", re.IGNORECASE)
_POSITION = re.compile(
    r"^\s*(?P<name>\S+)\s+(?P<equinox>J2000|B1950)\s+(?P<code>[A-Z?]?)\s*"
    r"(?P<ra>\d{1,2}h\s*\d{1,2}m\s*[\d.]+s)\s+"
    r"(?P<dec>[-+\u2212]?\s*\d{1,2}d\s*\d{1,2}'\s*[\d.]+)(\"|'')?\s*(?P<rest>.*)$"
)
_BAND = re.compile(
    r"^\s*[\d.]+\s*cm\s+(?P<band>[A-Z4])\s+(?P<codes>[A-Z?](\s+[A-Z?]){3})(?P<rest>\s.*|)$"
)
_DATE = re.compile(r"[A-Z][a-z]{2}\d{2}")
_LARGEST_BYTES = 50_000_000


@dataclass(frozen=True)
class VlaBand:
    """A source in one band."""

    band: str  #: Letter of the band.
    flux_jy: float | None  #: Flux density, Jy; None: not measured.
    codes: str  #: Quality codes in the configurations A, B, C and D.


@dataclass(frozen=True)
class VlaSource:
    """A source of the list."""

    names: tuple[str, ...]  #: J2000 name, B1950 name, and another name, as far as listed.
    ra_deg: float  #: Position, ICRS degrees.
    dec_deg: float  #: Position, ICRS degrees.
    bands: tuple[VlaBand, ...] = ()  #: The bands as listed.
    problem: str = ""  #: Why the entry can't be read; empty if it can.


@dataclass(frozen=True)
class ImportedCalibrators:
    """Calibrators from an external list."""

    calibrators: tuple[Calibrator, ...]  #: The calibrators in the order of the list.
    #: Reasons why other sources were refused, by name.
    refused: dict[str, str] = field(default_factory=dict)


def is_vla_list(path: Path) -> bool:
    """Return whether a file is text in the form of the VLA calibrator manual."""
    try:
        return _HEADING.search(_text(path)) is not None
    except CatalogueError:
        # Too large for it, or no text: another reader reports the problem.
        return False


def read_vla_list(path: Path) -> tuple[VlaSource, ...]:
    """Read the VLA calibrator manual's list: its text, or the web page that contains it.

    The sources have the order of the list, and positions of J2000, or of B1950 if that is all.

    Raises
    ------
    CatalogueError
        If it holds no source.
    """
    sources: list[VlaSource] = []
    open_equinox = ""
    flux_ends = 35
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if _HEADING.search(line):
            at = line.upper().find("UVMIN")
            flux_ends = at if at > 0 else len(line)
        elif found := _POSITION.match(line):
            source = _source(found, number)
            if open_equinox == "J2000" and found["equinox"] == "B1950" and not sources[-1].bands:
                known = sources[-1]
                merged = (*known.names[:1], *source.names, *known.names[1:])
                sources[-1] = replace(known, names=tuple(dict.fromkeys(merged)))
            else:
                sources.append(source)
            open_equinox = found["equinox"]
        elif (band := _BAND.match(line)) and sources:
            flux = _flux_jy(band["rest"], flux_ends - band.start("rest"))
            codes = "".join(band["codes"].split())
            entry = VlaBand(band["band"], flux, codes)
            sources[-1] = replace(sources[-1], bands=(*sources[-1].bands, entry))
        elif sources and re.match(r"\s*[\d.]+\s*cm\s", line):
            problem = f"line {number}, {line.strip()[:60]!r}, is no line of a band"
            sources[-1] = replace(sources[-1], problem=problem)
        elif re.search(r"\b(J2000|B1950)\b.*\dh", line):
            problem = f"line {number}, {line.strip()[:60]!r}, has no position that can be read"
            sources.append(VlaSource((line.split()[0],), math.nan, math.nan, problem=problem))
            open_equinox = ""
    if not sources:
        raise CatalogueError(f"{path} holds no source of the VLA's list", path=str(path))
    return tuple(sources)


def vla_calibrators(
    path: Path, *, configuration: str = "C", spectral_index: float | None = None
) -> ImportedCalibrators:
    """Return the calibrators for our band from the VLA calibrator manual's list.

    `configuration` is that of the VLA (A, B, C or D) with baselines similar to ours.
    `spectral_index` is for sources with one band only; None: they are refused.

    Raises
    ------
    CatalogueError
        If the list can't be read.
    ConfigurationError
        If there is no such configuration.
    """
    if configuration.upper() not in _CONFIGURATIONS or len(configuration) != 1:
        raise ConfigurationError(f"the VLA has no configuration {configuration!r}: A, B, C or D")
    kept: list[Calibrator] = []
    refused: dict[str, str] = {}
    taken: set[str] = set()
    sources = read_vla_list(path)
    # A name that several sources share, such as a survey's, doesn't identify one.
    counts = Counter(n.casefold() for s in sources for n in set(s.names))
    for source in sources:
        name = source.names[0]
        if source.problem:
            refused[name] = source.problem
            continue
        try:
            model = _model(source, configuration.upper(), spectral_index, path.name)
            aliases = [n for n in source.names[1:] if counts[n.casefold()] == 1]
            calibrator = refuse_variable(
                Calibrator(name, tuple(aliases), source.ra_deg, source.dec_deg, model)
            )
            _refuse_known(calibrator, taken)
        except ConfigurationError as error:
            refused[name] = error.message
            continue
        taken |= {n.casefold() for n in calibrator.names}
        kept.append(calibrator)
    return ImportedCalibrators(tuple(kept), refused)


def _text(path: Path) -> str:
    try:
        text = read_text(path, _LARGEST_BYTES)
    except TableError as error:
        raise CatalogueError(error.message, **error.details) from error
    return html.unescape(re.sub(r"<[^<>\n]{1,200}>", "", text))


def _source(found: re.Match[str], number: int) -> VlaSource:
    names = _names(found)
    ra = sexagesimal_deg("".join(found["ra"].split()), hours=True)
    dec = sexagesimal_deg("".join(found["dec"].split()), hours=False)
    if not (math.isfinite(ra) and math.isfinite(dec) and abs(dec) <= 90):
        problem = f"line {number}, {found['ra']} {found['dec']} is no position"
        return VlaSource(names, math.nan, math.nan, problem=problem)
    if found["equinox"] == "B1950":
        icrs = to_icrs(np.array([ra]), np.array([dec]), parse_frame("B1950"))
        ra, dec = float(icrs[0][0]), float(icrs[1][0])
    return VlaSource(names, ra, dec)


def _names(found: re.Match[str]) -> tuple[str, ...]:
    letter = found["equinox"][0]
    name = found["name"]
    others = [t for t in found["rest"].split() if not _DATE.fullmatch(t)]
    own = (name,) if name[:1] in "JB" else (name, f"{letter}{name}")
    return (*own, *others[-1:])


def _flux_jy(rest: str, ends: int) -> float | None:
    """Return the flux density in a band's line; it ends before the UVMIN column."""
    token = re.match(r"\s*(\d+(\.\d*)?|\.\d+)(?=\s|$)", rest)
    if token is None or token.start(1) >= ends:
        return None
    return float(token[1]) or None


def _model(
    source: VlaSource, configuration: str, spectral_index: float | None, origin: str
) -> FluxModel:
    """Return the flux model at our band.

    Raises
    ------
    ConfigurationError
        If there is no model; the message gives the reason.
    """
    bands = {_BANDS_GHZ[b.band]: b for b in source.bands if b.band in _BANDS_GHZ and b.flux_jy}
    at_l = next((b for b in source.bands if b.band == "L"), None)
    if at_l is not None:
        code = at_l.codes[_CONFIGURATIONS.index(configuration)]
        if code in _UNFIT:
            raise ConfigurationError(
                f"code {code} at L band in configuration {configuration}: {_UNFIT[code]}"
            )
    measured = {ghz: float(b.flux_jy or 0) for ghz, b in bands.items()}
    ours = _BANDS_GHZ["L"]
    below = max((g for g in measured if g < ours), default=None)
    above = min((g for g in measured if g > ours), default=None)
    if ours in measured:
        neighbours = [g for g in (below, above) if g is not None]
        if neighbours:
            near = min(neighbours, key=lambda g: abs(math.log(g / ours)))
            index = math.log(measured[near] / measured[ours]) / math.log(near / ours)
        elif spectral_index is not None:
            index = spectral_index
        else:
            raise ConfigurationError("measured at L band only, so its spectral index isn't known")
        return FluxModel.power_law(measured[ours], ours, index, origin)
    if below is None or above is None:
        there = ", ".join(b.band for b in bands.values()) or "none"
        raise ConfigurationError(
            f"not measured at L band, nor at bands on both sides of it (measured: {there})"
        )
    index = math.log(measured[above] / measured[below]) / math.log(above / below)
    flux = measured[below] * (_OURS_GHZ / below) ** index
    return FluxModel.power_law(flux, _OURS_GHZ, index, origin)


def _refuse_known(calibrator: Calibrator, taken: set[str]) -> None:
    if calibrator.name.casefold() in taken:
        raise ConfigurationError("listed before under this name")
    for known in FLUX_SCALE_SOURCES:
        apart = separation_deg(calibrator.ra_deg, calibrator.dec_deg, known.ra_deg, known.dec_deg)
        if apart < _SAME_SOURCE_DEG:
            raise ConfigurationError(f"{known.name}, which the flux scale has already")
