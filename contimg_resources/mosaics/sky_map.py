"""Maps of the sky: all mosaics, or those of a night, as a Hierarchical Progressive Survey.

Belongs here: which tiles have changed, their sums, the files that describe a survey.
Doesn't: pixels (see `hips`), which mosaics are used, records.

A tile is the mean of the mosaics in it, weighted by their expected noise. ``tiles.json`` holds for
each tile a digest of these mosaics' checksums: only tiles whose digest changes are made again. The
sums of mosaics that are settled (see `SkyLayer`) are kept in ``.sums``: a new mosaic is added to
them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.constants import speed_of_light

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_file
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.core.trees import remove_tree
from contimg_resources.database import now_mjd
from contimg_resources.imaging.png import brightness_levels
from contimg_resources.instrument.dsa110 import FREQUENCY_MAX_HZ, FREQUENCY_MIN_HZ
from contimg_resources.mosaics import hips
from contimg_resources.mosaics.hips import Sums, Tile

TILES = "tiles.json"
_VERSION = 1
_STEP = 16
#: Order of the overview of all tiles, as programs expect it.
_OVERVIEW_ORDER = 3
#: Number of tiles after which the state is saved: what a killed run loses at most.
_SAVED_EVERY = 50


@dataclass(frozen=True)
class SkyInput:
    """A mosaic in a map of the sky."""

    key: str  #: Its partition key.
    mid_mjd: float  #: Its middle, MJD in days.
    checksum: str  #: Checksum of its image.
    image: Path  #: The image, Jy/beam.
    sigma: Path  #: Its expected noise, Jy/beam.
    rms_jy: float  #: Its measured noise, Jy/beam.


@dataclass(frozen=True)
class SkyLayer:
    """A map of the sky."""

    name: str  #: Its name and directory: ``deep``.
    title: str  #: Its name for people.
    inputs: tuple[SkyInput, ...]  #: Its mosaics.
    #: Mosaics earlier than this probably don't change any more, MJD in days: their sums are kept.
    settled_mjd: float


@dataclass(frozen=True)
class UpdatedLayer:
    """The result of an update."""

    name: str  #: Its name.
    n_tiles: int  #: Number of tiles of the highest order.
    n_made: int  #: Number of these that were made.
    n_left: int  #: Number of these that are to be made by the next update.
    sky_fraction: float  #: Covered fraction of the sky.


@dataclass
class _State:
    """What ``tiles.json`` holds."""

    order: int
    noise_jy: float
    created_mjd: float = field(default_factory=now_mjd)  #: When it was begun, MJD in days.
    #: Tiles of each mosaic by key and checksum.
    inputs: dict[str, list[int]] = field(default_factory=dict)
    #: Digest of the mosaics of each tile, and its covered cells.
    tiles: dict[int, tuple[str, int]] = field(default_factory=dict)


def update_layer(
    root: Path,
    layer: SkyLayer,
    most_order: int,
    *,
    is_late: Callable[[], bool] = lambda: False,
    before_change: Callable[[], object] = lambda: None,
    progress: Progress = no_progress,
) -> UpdatedLayer:
    """Bring a map up to date; tiles whose mosaics are unchanged stay as they are.

    Parameters
    ----------
    root : Path
        Its directory.
    layer : SkyLayer
        The map.
    most_order : int
        Its highest order, if the pixels of the latest mosaic are small enough when it is begun.
    is_late : callable
        Whether to stop before the next tile; the next update continues.
    before_change : callable
        Called once before files of the map change.
    progress : callable
        Called with (message, fraction).

    Raises
    ------
    OSError
        If a mosaic can't be read or a file can't be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    state = _opened(root, layer, most_order)
    by_name = {_name(one): one for one in layer.inputs}
    for name, one in by_name.items():
        if name not in state.inputs:
            state.inputs[name] = _tiles_of(one, state.order)
    state.inputs = {name: state.inputs[name] for name in by_name}
    members: dict[int, list[str]] = {}
    for name, numbers in state.inputs.items():
        for number in numbers:
            members.setdefault(number, []).append(name)
    stale = [n for n, names in members.items() if state.tiles.get(n, ("",))[0] != _digest(names)]
    gone = [number for number in state.tiles if number not in members]
    is_new = bool(stale or gone or not (root / "properties").is_file())
    if is_new:
        before_change()
    for number in gone:
        hips.remove_tile(root, Tile(state.order, number))
        _sums_path(root, number).unlink(missing_ok=True)
        del state.tiles[number]
    n_made = 0
    changed = set(gone)
    for number in sorted(stale):
        if is_late():
            break
        progress(f"{layer.title}: tile {n_made + 1} of {len(stale)}", n_made / len(stale))
        tile = Tile(state.order, number)
        inputs = [by_name[name] for name in members[number]]
        values = _sums(root, tile, inputs, layer.settled_mjd).mean()
        hips.write_tile(root, tile, values, _levels(state.noise_jy))
        state.tiles[number] = _digest(members[number]), hips.covered_cells(values)
        changed.add(number)
        n_made += 1
        if n_made % _SAVED_EVERY == 0:
            _join(root, state, changed)
            _save(root, state)
            changed = set()
    fraction = _fraction(state)
    if is_new:
        _join(root, state, changed)
        _describe(root, layer, state, fraction)
        _save(root, state)
    return UpdatedLayer(layer.name, len(state.tiles), n_made, len(stale) - n_made, fraction)


def _opened(root: Path, layer: SkyLayer, most_order: int) -> _State:
    """Return the state of a map; a new one if there is none or its order is too high."""
    try:
        found = json.loads((root / TILES).read_bytes())
        if found["version"] == _VERSION and found["order"] <= most_order:
            tiles = {
                int(n): (digest, int(bits, 16)) for n, (digest, bits) in found["tiles"].items()
            }
            # Maps of earlier releases don't record it.
            created_mjd = found.get("created_mjd") or now_mjd()
            return _State(found["order"], found["noise_jy"], created_mjd, found["inputs"], tiles)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for left in root.iterdir():
        if left.is_dir():
            remove_tree(left)
        else:
            left.unlink()
    known = [one.rms_jy for one in layer.inputs if one.rms_jy > 0]
    noise_jy = float(np.median(known)) if known else 1e-3
    if not layer.inputs:
        return _State(3, noise_jy)
    # Of the latest mosaic; it stays when others come.
    wcs = WCS(fits.getheader(layer.inputs[-1].image)).celestial.wcs
    return _State(hips.order_for(3600 * abs(float(wcs.cdelt[1])), most_order), noise_jy)


def _save(root: Path, state: _State) -> None:
    content = {
        "version": _VERSION,
        "order": state.order,
        "noise_jy": state.noise_jy,
        "created_mjd": state.created_mjd,
        "inputs": state.inputs,
        "tiles": {n: (digest, f"{bits:x}") for n, (digest, bits) in sorted(state.tiles.items())},
    }
    _write(root / TILES, json.dumps(content, separators=(",", ":")))


def _write(place: Path, text: str) -> None:
    whole_file(place, partial(Path.write_text, data=text))


def _name(one: SkyInput) -> str:
    return f"{one.key} {one.checksum}"


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def _levels(noise_jy: float) -> tuple[float, float, float]:
    # The same for all tiles, however bright the sources in them.
    return brightness_levels(np.array([np.finfo(np.float32).max]), noise_jy)


def _tiles_of(one: SkyInput, order: int) -> list[int]:
    with fits.open(one.sigma, memmap=True) as hdus:
        observed = np.isfinite(_plane(hdus)[::_STEP, ::_STEP])
        return sorted(hips.tiles_with(WCS(hdus[0].header).celestial, observed, _STEP, order))


def _plane(hdus: fits.HDUList) -> Any:
    data = hdus[0].data
    return data[(0,) * (data.ndim - 2)]


def _contribution(tile: Tile, one: SkyInput) -> Sums:
    with fits.open(one.image, memmap=True) as image, fits.open(one.sigma, memmap=True) as sigma:
        wcs = WCS(image[0].header).celestial
        return hips.resampled(tile, wcs, _plane(image), _plane(sigma))


def _sums(root: Path, tile: Tile, inputs: list[SkyInput], settled_mjd: float) -> Sums:
    """Return the sums of a tile; those of settled mosaics are kept, and added to."""
    path = _sums_path(root, tile.number)
    wanted = {_name(one): one for one in inputs}
    total, kept = _read_sums(path, set(wanted))
    new = [name for name, one in wanted.items() if one.mid_mjd < settled_mjd and name not in kept]
    for name in new:
        total.add(_contribution(tile, wanted[name]))
    if new:
        path.parent.mkdir(exist_ok=True)
        names = sorted({*kept, *new})
        arrays = {"values": total.values, "weights": total.weights, "names": np.array(names)}
        whole_file(path, lambda partial: _write_sums(partial, arrays))
    for name in sorted(wanted.keys() - kept - set(new)):
        total.add(_contribution(tile, wanted[name]))
    return total


def _sums_path(root: Path, number: int) -> Path:
    return root / ".sums" / f"{number}.npz"


def _write_sums(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _read_sums(path: Path, wanted: set[str]) -> tuple[Sums, set[str]]:
    """Return kept sums with the names of their mosaics; nothing if one of these has changed."""
    try:
        with np.load(path) as found:
            names = {str(name) for name in found["names"]}
            if names <= wanted:
                return Sums(found["values"], found["weights"]), names
    except (OSError, ValueError, KeyError):
        # Without them the tile is made from all of its mosaics.
        pass
    return Sums.zero(), set()


def _join(root: Path, state: _State, changed: Iterable[int]) -> None:
    """Make the tiles of lower orders that contain changed ones."""
    tiles = {Tile(state.order, number) for number in changed}
    while tiles and next(iter(tiles)).order > 0:
        tiles = {tile.parent for tile in tiles}
        for tile in tiles:
            parts = [hips.read_tile(root, child) for child in tile.children]
            if any(part is not None for part in parts):
                hips.write_tile(root, tile, hips.joined(parts), _levels(state.noise_jy))
            else:
                hips.remove_tile(root, tile)


def _fraction(state: _State) -> float:
    n = sum(bits.bit_count() for _, bits in state.tiles.values())
    return float(n / (12 * 4 ** (state.order + hips.COVERAGE_DEPTH)))


def _describe(root: Path, layer: SkyLayer, state: _State, fraction: float) -> None:
    """Write what programs read first: properties, coverage as MOC and as a list of tiles."""
    from mocpy import MOC  # type: ignore[import-untyped]

    per_tile = 4**hips.COVERAGE_DEPTH
    cells = [
        number * per_tile + cell
        for number, (_, bits) in sorted(state.tiles.items())
        for cell in range(per_tile)
        if bits >> cell & 1
    ]
    depth = state.order + hips.COVERAGE_DEPTH
    moc = MOC.from_healpix_cells(
        np.array(cells, np.uint64), np.full(len(cells), depth, np.uint8), max_depth=depth
    )
    whole_file(root / "Moc.fits", lambda place: moc.save(place, format="fits", v1_compatible=True))
    ra_deg, dec_deg = _middle_deg(state)
    content = {"order": state.order, "ra": ra_deg, "dec": dec_deg, "tiles": sorted(state.tiles)}
    _write(root / "coverage.json", json.dumps(content, separators=(",", ":")))
    if state.tiles and state.order >= _OVERVIEW_ORDER:
        shift = 2 * (state.order - _OVERVIEW_ORDER)
        hips.write_overview(root, _OVERVIEW_ORDER, sorted({n >> shift for n in state.tiles}))
    _write(root / "properties", _properties(layer, state, fraction))


def _middle_deg(state: _State) -> tuple[float, float]:
    """Return a direction in the middle of what is covered of the fullest tile, ICRS degrees."""
    if not state.tiles:
        return 0.0, 0.0
    number, (_, bits) = max(state.tiles.items(), key=lambda item: item[1][1].bit_count())
    per_tile = 4**hips.COVERAGE_DEPTH
    cells = [number * per_tile + cell for cell in range(per_tile) if bits >> cell & 1]
    if not cells:
        return 0.0, 0.0
    return hips.centre_deg(Tile(state.order + hips.COVERAGE_DEPTH, cells[len(cells) // 2]))


def _properties(layer: SkyLayer, state: _State, fraction: float) -> str:
    ra_deg, dec_deg = _middle_deg(state)
    times = [one.mid_mjd for one in layer.inputs]
    low, high, _ = _levels(state.noise_jy)
    words = {
        "creator_did": f"ivo://contimg.local/sky/{layer.name}",
        "obs_title": f"DSA-110 continuum, {layer.title}",
        "obs_description": "Mean of the mosaics, weighted by their expected noise, Jy/beam",
        "obs_regime": "Radio",
        "em_min": f"{speed_of_light / FREQUENCY_MAX_HZ:.6f}",
        "em_max": f"{speed_of_light / FREQUENCY_MIN_HZ:.6f}",
        "prov_progenitor": f"{len(layer.inputs)} mosaics",
        "dataproduct_type": "image",
        "hips_version": "1.4",
        "hips_builder": "contimg",
        "hips_creation_date": _minute(state.created_mjd),
        "hips_release_date": _minute(now_mjd()),
        "hips_status": "private master clonableOnce",
        "hips_frame": "equatorial",
        "hips_order": state.order,
        "hips_order_min": 0,
        "hips_tile_width": hips.SIDE,
        "hips_tile_format": "fits png",
        "hips_pixel_bitpix": -32,
        "hips_pixel_scale": f"{hips.pixel_arcsec(state.order) / 3600:.7g}",
        "hips_pixel_cut": f"{low:.5g} {high:.5g}",
        "hips_initial_ra": f"{ra_deg:.4f}",
        "hips_initial_dec": f"{dec_deg:.4f}",
        "hips_initial_fov": "10",
        "moc_sky_fraction": f"{fraction:.7g}",
        "t_min": f"{min(times, default=0.0):.5f}",
        "t_max": f"{max(times, default=0.0):.5f}",
    }
    return "".join(f"{name:<20} = {value}\n" for name, value in words.items())


def _minute(mjd: float) -> str:
    return f"{isot_from_mjd(mjd)[:16]}Z"
