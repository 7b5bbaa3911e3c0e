"""Averaged visibilities stored in a calibrated MS, so that imaging needn't read the rest.

Belongs here: averaging while the data are still in memory, writing the averages into the MS,
reading them again. Doesn't: the averaging method (see `averaging`), or calibrating.

They are a copy of data in the MS: when any of its files was changed since, they are ignored.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.apply.calibrated_ms import write_calibrated_ms
from contimg_resources.calibration.apply.memory import Observed
from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.core.checksums import stat_signature
from contimg_resources.core.errors import ConfigurationError, ImagingFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.core.trees import remove_tree
from contimg_resources.imaging.beam import dish_of
from contimg_resources.imaging.gathering import Cells, Gathering, Moments
from contimg_resources.imaging.layout import Layout, layout_of
from contimg_resources.imaging.reach import half_width_rad
from contimg_resources.imaging.reading import read_visibilities
from contimg_resources.imaging.visibilities import Block, Visibilities

#: Directory inside the calibrated MS.
NAME = "CONTIMG_AVERAGED"
_FORMAT = 3


def calibrate_for_imaging(request: ApplyRequest) -> ApplyResult:
    """Write a calibrated MS with averaged visibilities; call through `Casa.run`.

    See `contimg_resources.calibration.apply.calibrated_ms.write_calibrated_ms`.
    """
    return write_calibrated_ms(
        request, also=partial(average_for_imaging, beam_cut=request.imaging.beam_cut)
    )


def average_for_imaging(observed: Observed, ms: Path, beam_cut: float) -> Callable[[], None]:
    """Start averaging the data in memory for the image; return its completion.

    Where it can't be done (several phase centres, an unknown dish, no usable data) nothing is
    written: imaging then reports the reason.

    Parameters
    ----------
    observed : Observed
        The calibrated data.
    ms : Path
        The MS that is being written; its subtables exist already.
    beam_cut : float
        Primary-beam response at the edge of the image.

    Returns
    -------
    callable
        Waits for the averages and completes them; to be called when the rest of the MS is
        completely written.
    """
    try:
        layout = layout_of(
            ms, np.arange(len(observed.rows)), observed.description, observed.field, {}
        )
        half_rad = half_width_rad(layout, dish_of(layout.telescope, None, None), beam_cut)
    except (ImagingFailed, ConfigurationError):
        return _nothing
    if len({s.hands for s in layout.setups}) > 1:
        return _nothing
    report_progress("averaging for the image", 0.7)
    place = ms / NAME
    remove_tree(place, ignore_errors=True)
    place.mkdir()
    # Meanwhile one thread writes CASA's columns; compiled code doesn't wait for it.
    pool = ThreadPoolExecutor(1)
    averaging = pool.submit(_averaged, observed, layout, half_rad, place)

    def complete() -> None:
        try:
            seen = averaging.result()
        except ImagingFailed:
            remove_tree(place)
        else:
            _write(ms, seen, half_rad)
        finally:
            pool.shutdown()

    return complete


def _nothing() -> None:
    pass


def _averaged(observed: Observed, layout: Layout, half_rad: float, place: Path) -> Visibilities:
    moments = Moments.of(observed.time_s, observed.first, observed.second, observed.uvw_m, layout)

    def make(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        return _made(place / f"{name}.npy", shape, dtype)

    gathering = Gathering(layout, moments, half_rad, make)
    cells = Cells(
        data=observed.data,
        flag=observed.flag,
        flag_row=np.zeros(len(observed.rows), np.bool_),
        weight=observed.weight,
        time_s=observed.time_s,
        interval_s=observed.interval_s,
    )
    # All of one shape, see `Observed`.
    gathering.add(cells, layout.setups[0], np.arange(len(observed.rows)))
    return gathering.visibilities()


def visibilities_of(layout: Layout, half_rad: float, *, everything: bool) -> Visibilities:
    """Return the averaged visibilities of an MS: the stored ones, or newly read and averaged.

    Parameters
    ----------
    layout : Layout
        The selected part of the MS.
    half_rad : float
        See `contimg_resources.imaging.reading.read_visibilities`.
    everything : bool
        Whether no selection leaves anything out.
    """
    carried = _read(layout, half_rad) if everything else None
    return read_visibilities(layout, half_rad) if carried is None else carried


def _write(ms: Path, seen: Visibilities, half_rad: float) -> None:
    place = ms / NAME
    for number, block in enumerate(seen.blocks):
        for field in fields(Block):
            file = place / f"{field.name}{number}.npy"
            value = getattr(block, field.name)
            if value is None:
                file.unlink(missing_ok=True)
            # The large arrays were created there.
            elif not file.exists():
                np.save(file, value)
    about: dict[str, Any] = {
        "format": _FORMAT,
        "half_width_rad": half_rad,
        "n_blocks": len(seen.blocks),
        "bandwidth_hz": seen.bandwidth_hz,
        "noise_scale": seen.noise_scale,
        "start_mjd": seen.start_mjd,
        "end_mjd": seen.end_mjd,
        "files": _files(ms),
    }
    (place / "about.json").write_text(json.dumps(about))


def _read(layout: Layout, half_rad: float) -> Visibilities | None:
    place = layout.ms / NAME
    try:
        about = json.loads((place / "about.json").read_text())
        if about["format"] != _FORMAT or about["files"] != _files(layout.ms):
            return None
        # Averages made for a narrower image would smear the edge of this one.
        if about["half_width_rad"] < half_rad * (1 - 1e-6):
            return None
        blocks = tuple(
            Block(
                **{
                    f.name: _loaded(place / f"{f.name}{n}.npy")
                    for f in fields(Block)
                    if f.default is MISSING or (place / f"{f.name}{n}.npy").exists()
                }
            )
            for n in range(about["n_blocks"])
        )
        return Visibilities(
            blocks=blocks,
            telescope=layout.telescope,
            phase_center_deg=layout.phase_center_deg,
            pointings_deg=layout.pointings_deg,
            origin=layout.origin,
            antenna_names=layout.antenna_names,
            bandwidth_hz=float(about["bandwidth_hz"]),
            noise_scale=float(about["noise_scale"]),
            start_mjd=float(about["start_mjd"]),
            end_mjd=float(about["end_mjd"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        # Missing or incomplete: read the MS itself.
        return None


def _made(file: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Return an array of zeros in a file, with its disk space reserved."""
    made: Any = np.lib.format.open_memmap(file, "w+", np.dtype(dtype), shape)
    with file.open("r+b") as reserved:
        os.posix_fallocate(reserved.fileno(), 0, file.stat().st_size)
    return np.asarray(made.view(np.ndarray))


def _loaded(file: Path) -> np.ndarray[Any, Any]:
    """Return an array mapped from its file: new memory costs as much as copying into it."""
    loaded: np.ndarray[Any, Any] = np.load(file, mmap_mode="r")
    return loaded.view(np.ndarray)


def _files(ms: Path) -> list[list[Any]]:
    """Return name, size and modification time of every other file in the MS."""
    return [
        [name, size, changed_ns]
        for name, size, changed_ns, _ in stat_signature(ms)
        if not name.startswith(f"{NAME}/")
    ]
