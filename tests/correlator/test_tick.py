"""A scan of weeks of files, all of them known but one observation, takes less than a second."""

import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contimg_resources.correlator import arrival
from contimg_resources.correlator.arrival import SubBandGroup
from contimg_resources.correlator.description import signature_of
from contimg_resources.correlator.sub_band import SubBand
from contimg_resources.observations.model import SubBandFile
from contimg_resources.products.tables import observations, sub_bands
from contimg_resources.settings import Settings
from contimg_resources.steps import watching_sub_bands
from contimg_resources.steps.watching_sub_bands import SubBandCursor, scan_uvh5_directory
from contimg_resources.steps.workshop import Workshop

N = 7000
INTEGRATION_S = 12.884902


def headers_of(directory: Path, n: int) -> dict[str, SubBand]:
    """Give the headers of an observation's files."""
    first_mjd = 60_950.0 + n * 309.3 / 86_400
    last_mjd = first_mjd + 23 * INTEGRATION_S / 86_400
    return {
        name: SubBand(
            *(directory / name, k, first_mjd, last_mjd, INTEGRATION_S, 24, 4656, 96, 48),
            *(1.3e9, 1.31e9, 244_140.625, ("XX", "YY"), 33.3, "OVRO_MMA"),
        )
        for k in range(16)
        for name in (f"{n:05d}_sb{k:02d}.hdf5",)
    }


@pytest.fixture
def season(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workshop, list[str]]:
    """Give a directory of files that are known, and the list of those that a scan sees.

    Files, headers and observations are made up: to make them would take hours.
    """
    directory = tmp_path / "correlator"
    directory.mkdir()
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state", uvh5_dir=directory))
    headers = {n: headers_of(directory, n) for n in range(N + 1)}
    of_name = {name: header for found in headers.values() for name, header in found.items()}
    listed = sorted(name for n in range(N) for name in headers[n])
    monkeypatch.setattr(
        arrival, "_files", lambda _: [(name, 145_000_000, 1_700_000_000) for name in listed]
    )
    # An argument's default was taken when the function was defined.
    monkeypatch.setattr(arrival.scan_sub_bands, "__kwdefaults__", {
        **(arrival.scan_sub_bands.__kwdefaults__ or {}), "read": lambda path: of_name[path.name]
    })  # fmt: skip
    rows: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for n in range(N):
        group = SubBandGroup(tuple(headers[n].values()))
        key = f"{group.mid_mjd:.5f}"
        mine = tuple(
            SubBandFile(s.number, s.path, 145_000_000, 1_700_000_000) for s in group.sub_bands
        )
        files += [{"key": key, **vars(f), "path": str(f.path)} for f in mine]
        rows.append(
            {
                **{"key": key, "path": f"{key}.ms", "signature": signature_of(mine)},
                **{"start_mjd": 0.0, "mid_mjd": group.mid_mjd, "end_mjd": 0.0},
                **{"declination_deg": 0.0, "calibrator": "", "state": "imaged", "step": ""},
                **{"reason": "", "updated_mjd": 0.0, "origin": "sub_bands", "observation": "{}"},
            }
        )
    with workshop.products.write() as connection:
        connection.execute(sa.insert(observations), rows)
        connection.execute(sa.insert(sub_bands), files)
    return workshop, listed


def test_a_tick_among_thousands_of_known_observations_is_short(
    season: tuple[Workshop, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop, listed = season
    registered: list[str] = []

    def register(_workshop: Workshop, group: SubBandGroup, **_: Any) -> Any:
        registered.append(group.name)
        raise ValueError("made up")

    monkeypatch.setattr(watching_sub_bands, "describe_sub_bands", lambda group, *_, **__: group)
    monkeypatch.setattr(watching_sub_bands, "register", register)
    memory = SubBandCursor()
    # The first one reads all headers.
    assert scan_uvh5_directory(workshop, memory).n_known == N
    taken_s = []
    for new in (0, 16, 0):
        listed.extend(sorted(headers_of(workshop.settings.incoming_uvh5_dir, N))[:new])
        began_s = time.process_time()
        found = scan_uvh5_directory(workshop, memory)
        taken_s.append(time.process_time() - began_s)
        memory = found.memory
    assert (found.n_known, list(found.refused.values())) == (
        N,
        [f"{registered[0]}: unexpected ValueError: made up"],
    )
    assert len(registered) == 1
    # Some 0.3 s; one that asks the store about each observation takes ten times as long.
    assert max(taken_s) < 3.0, taken_s
