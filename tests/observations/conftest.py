"""One tiny drift-scan MS, and the broken variants of it that the night may bring."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import Observation
from contimg_resources.observations.reading import read_observation
from contimg_resources.settings import ArrivalSettings

START_MJD = 61041.25
INTEGRATION_S = 12.884902
N_FIELDS = 4
ANTENNAS = ("1", "2", "24", "103", "104", "117")
N_CHANNELS = 8

Read = Callable[[Path], Observation]


def build_night(root: Path) -> Path:
    """Write the tiny MS and its variants; runs in a CASA process."""
    tiny = root / "2001-01-01T00:00:00.ms"
    _simulate(tiny)
    _say_where_columns_lie(tiny, root / "column_files.json")
    for name, edit in VARIANTS.items():
        variant = root / f"{name}.ms"
        shutil.copytree(tiny, variant)
        edit(variant)
    return tiny


def _simulate(path: Path) -> None:
    import numpy as np
    from casatools import measures, simulator, table

    sm, me = simulator(), measures()
    sm.open(str(path))
    n = len(ANTENNAS)
    sm.setconfig(
        telescopename="OVRO_MMA",
        x=[12.0 * i for i in range(n)],
        y=[7.0 * i * i for i in range(n)],
        z=[0.0] * n,
        dishdiameter=[4.65] * n,
        mount=["alt-az"] * n,
        antname=list(ANTENNAS),
        coordsystem="local",
        referencelocation=me.observatory("OVRO_MMA"),
    )
    # The higher window comes first, and the lower one has descending channels.
    for name, start, step in (("high", "1.45GHz", "0.25MHz"), ("low", "1.40GHz", "-0.25MHz")):
        sm.setspwindow(
            spwname=name,
            freq=start,
            deltafreq=step,
            freqresolution="0.25MHz",
            nchannels=N_CHANNELS,
            stokes="XX YY",
        )
    sm.setfeed("perfect X Y")
    sm.setauto(1.0)
    sm.setlimits(elevationlimit="-90deg", shadowlimit=1.0)
    sm.settimes(
        integrationtime=f"{INTEGRATION_S}s",
        usehourangle=False,
        referencetime=me.epoch("UTC", f"{START_MJD}d"),
    )
    for i in range(N_FIELDS):
        direction = me.direction("ICRS", f"{202.7 + 0.0537 * i}deg", "30.6deg")
        sm.setfield(sourcename=f"meridian_icrs_t{i}", sourcedirection=direction)
    for i in range(N_FIELDS):
        for window in ("high", "low"):
            sm.observe(
                f"meridian_icrs_t{i}",
                window,
                starttime=f"{i * INTEGRATION_S}s",
                stoptime=f"{(i + 1) * INTEGRATION_S}s",
            )
    sm.close()
    tb = table()
    tb.open(str(path), nomodify=False)
    times = START_MJD * 86400 + (tb.getcol("FIELD_ID") + 0.5) * INTEGRATION_S
    tb.putcol("TIME", times)
    dead = (tb.getcol("ANTENNA1") == 2) | (tb.getcol("ANTENNA2") == 2)
    data = np.ones_like(tb.getcol("DATA"))
    flags = np.zeros(data.shape, bool)
    data[:, :, dead] = 0
    flags[:, 0, :] = True
    tb.putcol("DATA", data)
    tb.putcol("FLAG", flags)
    tb.putcol("FLAG_ROW", np.zeros(times.size, bool))
    tb.close()


def _say_where_columns_lie(path: Path, answer: Path) -> None:
    from casatools import table

    tb = table()
    tb.open(str(path))
    files = {
        str(column): f"table.f{manager['SEQNR']}"
        for manager in tb.getdminfo().values()
        for column in manager["COLUMNS"]
    }
    tb.close()
    answer.write_text(json.dumps(files))


def _without_rows(path: Path) -> None:
    from casatools import table

    full = path.rename(path.with_suffix(".full"))
    tb = table()
    tb.open(str(full))
    tb.copy(str(path), deep=True, valuecopy=True, norows=True).close()
    tb.close()


def _edited(subtable: str, edit: Callable[[Any], None]) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        from casatools import table

        tb = table()
        tb.open(str(path / subtable), nomodify=False)
        edit(tb)
        tb.close()

    return run


def _put(column: str, change: Callable[[Any], Any]) -> Callable[[Any], None]:
    return lambda tb: tb.putcol(column, change(tb.getcol(column))) and None


def _one(value: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values[..., 5] = value
        return values

    return change


def _flag_one_antenna_in_all_but_the_first_integration(tb: Any) -> None:
    tb.putcol("FLAG_ROW", (tb.getcol("ANTENNA2") == 5) & (tb.getcol("FIELD_ID") > 0))


def _four_channels_in_a_window(tb: Any) -> None:
    for column in ("CHAN_FREQ", "CHAN_WIDTH"):
        tb.putcell(column, 0, tb.getcell(column, 0)[:4])


def _frame(name: str) -> Callable[[Any], None]:
    def edit(tb: Any) -> None:
        keywords = tb.getcolkeywords("PHASE_DIR")
        keywords["MEASINFO"] = {"type": "direction", "Ref": name}
        tb.putcolkeywords("PHASE_DIR", keywords)

    return edit


def _over_the_leap_second(times: Any) -> Any:
    """Move the middle to the end of 2016, where the last second of the day comes twice."""
    moved = times - times.mean() + 57_754.0 * 86_400
    return moved - 1.0 * (moved > 57_754.0 * 86_400)


VARIANTS: dict[str, Callable[[Path], None]] = {
    "nan_time": _edited("", _put("TIME", _one(float("nan")))),
    "in_days": _edited("", _put("TIME", lambda t: t / 86400)),
    "year_2166": _edited("", _put("TIME", lambda t: t + 140.0 * 365.25 * 86400)),
    "leap_second": _edited("", _put("TIME", _over_the_leap_second)),
    "no_interval": _edited("", _put("INTERVAL", lambda t: t * 0)),
    "in_tai": _edited(
        "",
        lambda tb: (
            tb.putcolkeywords(
                "TIME", {"QuantumUnits": ["s"], "MEASINFO": {"type": "epoch", "Ref": "TAI"}}
            )
            and None
        ),
    ),
    "no_rows": _without_rows,
    "no_data": _edited("", lambda tb: tb.removecols("DATA") and None),
    "all_flagged": _edited("", _put("FLAG", lambda f: f | True)),
    "all_rows_flagged": _edited("", _put("FLAG_ROW", lambda f: f | True)),
    "all_nan": _edited("", _put("DATA", lambda d: d * float("nan"))),
    "works_once": _edited("", _flag_one_antenna_in_all_but_the_first_integration),
    "antenna_9": _edited("", _put("ANTENNA2", _one(9))),
    "twins": _edited("ANTENNA", _put("NAME", _one("1"))),
    "azel": _edited("FIELD", _frame("AZEL")),
    "called_icrs": _edited("FIELD", _frame("ICRS")),
    "bad_channels": _edited("SPECTRAL_WINDOW", _put("CHAN_FREQ", lambda f: f * 0)),
    "other_channels": _edited(
        "SPECTRAL_WINDOW",
        _four_channels_in_a_window,
    ),
    "no_telescope": _edited("OBSERVATION", _put("TELESCOPE_NAME", lambda n: [""] * len(n))),
}


@pytest.fixture(scope="session")
def night(casa: Casa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of the variants."""
    root = tmp_path_factory.mktemp("night")
    casa.run(build_night, root, label="build-night")
    return root


@pytest.fixture(scope="session")
def tiny(night: Path) -> Path:
    """Give the tiny MS as it should be; its name tells a wrong time."""
    return night / "2001-01-01T00:00:00.ms"


@pytest.fixture(scope="session")
def read(casa: Casa) -> Read:
    """Give the reading with usual arguments."""

    def call(path: Path) -> Observation:
        return read_observation(
            path, casa=casa, calibrators=CalibratorList(), settings=ArrivalSettings()
        )

    return call


@pytest.fixture(scope="session")
def refusal(read: Read) -> Callable[[Path], str]:
    """Give the message with which an MS is refused."""

    def call(path: Path) -> str:
        with pytest.raises(UnreadableObservation) as raised:
            read(path)
        message: str = raised.value.message
        assert str(path) in message
        assert "\n" not in message
        return message

    return call


@pytest.fixture(scope="session")
def observation(read: Read, tiny: Path) -> Observation:
    """Give what the tiny MS says it is."""
    return read(tiny)
