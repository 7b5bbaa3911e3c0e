"""Weeks of sub-band files with the real gaps, and names that are off by up to a minute.

The directory and the headers of 112,000 files are simulated, since writing them would take minutes;
an hour of them is real.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from contimg_resources.correlator.arrival import HeaderCache, SubBandScan, scan_sub_bands
from contimg_resources.correlator.sub_band import SubBand, read_sub_band
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from tests import cadence
from tests.correlator.files import Written

N_GROUPS = 7000
#: Number of groups of which one lacks a sub-band.
LACKING = 120
#: Long after the files were written.
LATER_S = 4e9
INTEGRATION_S = 12.884902
FIRST_MJD = 60_950.0
_SCANDIR = os.scandir


def names_of(rng: random.Random, start_s: float) -> list[str]:
    """Return the names of an observation's files: the clocks of sixteen nodes."""
    kind = rng.random()
    spread_s = rng.uniform(0.5, 4) if kind < 0.915 else rng.uniform(10, 22)
    if kind > 0.995:
        spread_s = rng.uniform(40, 60)
    begin = datetime(2025, 10, 2) + timedelta(seconds=start_s + rng.random())
    off_s = [0.0, spread_s, *(rng.uniform(0, spread_s) for _ in range(N_SPECTRAL_WINDOWS - 2))]
    rng.shuffle(off_s)
    return [
        f"{begin + timedelta(seconds=s):%Y-%m-%dT%H:%M:%S}_sb{k:02d}.hdf5"
        for k, s in enumerate(off_s)
    ]


@dataclass
class Simulated:
    """A directory of files that aren't there, and the work of scanning it."""

    directory: Path
    headers: dict[str, SubBand] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    work: Counter[str] = field(default_factory=Counter)

    def add(self, start_s: float, names: list[str]) -> None:
        """Add the files of an observation."""
        first_mjd = FIRST_MJD + (start_s + 0.5 * INTEGRATION_S) / 86_400
        last_mjd = first_mjd + 23 * INTEGRATION_S / 86_400
        for name in names:
            self.headers[name] = SubBand(
                path=self.directory / name,
                number=int(name[-7:-5]),
                first_mjd=first_mjd,
                last_mjd=last_mjd,
                integration_s=INTEGRATION_S,
                n_integrations=24,
                n_baselines=4656,
                n_antennas=96,
                n_channels=48,
                low_hz=1.3e9,
                high_hz=1.31e9,
                channel_width_hz=244_140.625,
                polarisations=("XX", "YY"),
                declination_deg=33.3,
                telescope="OVRO_MMA",
            )
        self.listed += names

    def scandir(self, directory: Path) -> Any:
        """Stand in for `os.scandir`."""
        if directory != self.directory:
            return _SCANDIR(directory)
        self.work["listings"] += 1
        return nullcontext(
            SimpleNamespace(name=name, is_file=lambda: True, stat=self._stat)
            for name in self.listed
        )

    def _stat(self) -> SimpleNamespace:
        self.work["stat calls"] += 1
        return SimpleNamespace(st_size=145_000_000, st_mtime_ns=1)

    def read(self, path: Path) -> SubBand:
        """Stand in for the reader of headers."""
        self.work["headers"] += 1
        return self.headers[path.name]

    def scan(self, cache: HeaderCache) -> SubBandScan:
        """Scan, counting the work anew."""
        self.work.clear()
        return scan_sub_bands(self.directory, cache, now_s=LATER_S, settle_age_s=30, read=self.read)


@dataclass
class Weeks:
    """A simulated directory after its first scan."""

    files: Simulated
    starts_s: list[float]
    cache: HeaderCache
    first: SubBandScan
    first_work: Counter[str]


@pytest.fixture(scope="module")
def weeks() -> Iterator[Weeks]:
    rng, files = random.Random(3), Simulated(Path("/incoming"))
    starts_s = cadence.starts(N_GROUPS, 3)
    for n, start_s in enumerate(starts_s):
        names = names_of(rng, start_s)
        if n % LACKING == 7:
            del names[rng.randrange(N_SPECTRAL_WINDOWS)]
        files.add(start_s, names)
    rng.shuffle(files.listed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", files.scandir)
        cache = HeaderCache(files.directory)
        first = files.scan(cache)
        yield Weeks(files, starts_s, cache, first, files.work.copy())


def test_every_observation_is_found_whole(weeks: Weeks) -> None:
    # Names alone find hardly any.
    of_a_name = Counter(name[:19] for name in weeks.files.listed)
    assert sum(n == N_SPECTRAL_WINDOWS for n in of_a_name.values()) < 0.05 * N_GROUPS
    found = weeks.first
    assert (found.rejected, found.unsettled) == ({}, {})
    begun_s = np.array([g.begin_mjd - FIRST_MJD for g in found.groups]) * 86_400
    # Each once, and none of two.
    np.testing.assert_allclose(begun_s, weeks.starts_s, rtol=0, atol=1e-3)
    assert all(len({s.first_mjd for s in g.sub_bands}) == 1 for g in found.groups)
    lacking = [n for n, g in enumerate(found.groups) if g.missing]
    assert lacking == list(range(7, N_GROUPS, LACKING))
    assert len(lacking) < 0.01 * N_GROUPS
    assert {len(g.missing) for g in found.groups} == {0, 1}


def test_a_tick_reads_only_what_is_new(weeks: Weeks) -> None:
    files, n_files = weeks.files, len(weeks.files.listed)
    assert weeks.first_work == {"listings": 1, "stat calls": n_files, "headers": n_files}
    again = files.scan(weeks.cache)
    assert files.work == {"listings": 1, "stat calls": n_files}
    # Nor is anything grouped again.
    assert again.groups is weeks.first.groups
    after_s = weeks.starts_s[-1] + cadence.STEP_S
    files.add(after_s, names_of(random.Random(4), after_s))
    later = files.scan(weeks.cache)
    assert files.work == {"listings": 1, "stat calls": n_files + 16, "headers": 16}
    assert later.groups[:-1] == weeks.first.groups
    assert later.groups[-1].missing == ()


def test_real_files_under_mixed_names(
    observation: tuple[Written, list[Path]], tmp_path: Path
) -> None:
    starts_s, rng, opened = cadence.starts(4, 2), random.Random(2), []

    def deliver(start_s: float) -> None:
        for path, name in zip(observation[1], names_of(rng, start_s), strict=True):
            shutil.copy(path, tmp_path / name)
            with h5py.File(tmp_path / name, "r+") as file:
                file["Header/time_array"][...] += start_s / 86_400

    def read(path: Path) -> SubBand:
        opened.append(path.name)
        return read_sub_band(path)

    def scan() -> SubBandScan:
        opened.clear()
        return scan_sub_bands(tmp_path, cache, now_s=LATER_S, settle_age_s=30, read=read)

    cache = HeaderCache(tmp_path)
    for start_s in starts_s[:3]:
        deliver(start_s)
    first = scan()
    assert (first.rejected, len(opened)) == ({}, 48)
    begun_s = [(g.begin_mjd - first.groups[0].begin_mjd) * 86_400 for g in first.groups]
    assert begun_s == pytest.approx(starts_s[:3], abs=1e-3)
    assert [g.missing for g in first.groups] == [(), (), ()]
    assert (scan().groups, opened) == (first.groups, [])
    deliver(starts_s[3])
    assert scan().groups[:3] == first.groups
    assert len(opened) == 16
