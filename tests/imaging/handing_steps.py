"""Steps that compare averaged visibilities which an MS carries with those that are read."""

import shutil
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from contimg_resources.calibration.apply.memory import read_observed
from contimg_resources.imaging import averaged_visibilities
from contimg_resources.imaging.beam import dish_of
from contimg_resources.imaging.layout import read_layout
from contimg_resources.imaging.reach import half_width_rad
from contimg_resources.imaging.reading import read_visibilities
from contimg_resources.imaging.visibilities import Block, Visibilities

#: Not the default: what is carried reaches as far as the image that is asked for.
BEAM_CUT = 0.1


@dataclass(frozen=True)
class Handed:
    """How carried visibilities differ from read ones, and when they still counted."""

    n_points: int
    most: float
    """Largest relative difference of any array of any block."""
    facts_agree: bool
    carried: bool
    carried_for_a_wider_image: bool
    carried_after_flagging: bool
    carried_when_cut_short: bool


def hand_on_and_compare(ms: Path) -> Handed:
    """Let a copy carry what is in memory, read both, then spoil what is carried."""
    copy = ms.with_name("carrying.ms")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ms, copy, ignore=shutil.ignore_patterns(averaged_visibilities.NAME))
    averaged_visibilities.average_for_imaging(read_observed(copy, range(24)), copy, BEAM_CUT)()
    layout = read_layout(copy)
    half_rad = half_width_rad(layout, dish_of(layout.telescope, None, None), BEAM_CUT)
    read = read_visibilities(layout, half_rad)
    carried = averaged_visibilities.visibilities_of(layout, half_rad, everything=True)
    wider = averaged_visibilities._read(layout, 1.1 * half_rad) is not None
    found = averaged_visibilities._read(layout, half_rad) is not None
    part = next((copy / averaged_visibilities.NAME).glob("values*.npy"))
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    cut_short = averaged_visibilities._read(layout, half_rad) is not None
    part.write_bytes(whole)
    _flag_a_row(copy)
    return Handed(
        n_points=sum(int((b.weight > 0).sum()) for b in carried.blocks),
        most=max(
            float(np.abs(getattr(a, f.name) - getattr(b, f.name)).max())
            / float(np.abs(getattr(b, f.name)).max())
            for a, b in zip(carried.blocks, read.blocks, strict=True)
            for f in fields(Block)
        ),
        facts_agree=all(
            getattr(carried, f.name) == getattr(read, f.name)
            for f in fields(Visibilities)
            if f.name not in ("blocks", "pointings_deg", "noise_scale", "origin")
        )
        and abs(carried.noise_scale / read.noise_scale - 1) < 0.02,
        carried=found,
        carried_for_a_wider_image=wider,
        carried_after_flagging=averaged_visibilities._read(layout, half_rad) is not None,
        carried_when_cut_short=cut_short,
    )


def _flag_a_row(ms: Path) -> None:
    import casatools

    table = casatools.table()
    table.open(str(ms), nomodify=False)
    table.putcell("FLAG", 7, ~np.zeros_like(table.getcell("FLAG", 7)))
    table.close()
