"""Caltables of other hands, written with python-casacore as CASA would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MJD = 61_041.3
WINDOWS_HZ = tuple(1.3114e9 + i * 1.172e7 + np.arange(48) * 244_140.625 for i in range(2))


def write_caltable(
    path: Path,
    subtype: str,
    values: Any,
    *,
    flags: Any = None,
    snr: Any = 50.0,
    names: Sequence[str] = (),
    declination_deg: float = 16.3,
    frame: str = "J2000",
    info_subtype: str | None = None,
) -> Path:
    """Write a caltable of one time.

    Parameters
    ----------
    path : Path
        Its directory.
    subtype : str
        ``B Jones``, ``G Jones`` or ``K Jones``.
    values : ndarray, shape (n_antennas, 2, n_channels)
        Solutions, the same in each of the windows.
    flags, snr : ndarray or number
        As `values`.
    names : sequence of str
        Of the antennas; without any, ``1``, ``2``, ...
    declination_deg, frame : float, str
        Of its one field.
    info_subtype : str, optional
        What ``table.info`` says when that isn't `subtype`.
    """
    from casacore import tables

    n_antennas, _, n_channels = values.shape
    names = list(names) or [str(i + 1) for i in range(n_antennas)]
    column = "FPARAM" if subtype.startswith("K") else "CPARAM"
    described = [
        tables.makescacoldesc("TIME", 0.0),
        *(
            tables.makescacoldesc(name, 0)
            for name in ("FIELD_ID", "SPECTRAL_WINDOW_ID", "ANTENNA1", "ANTENNA2", "SCAN_NUMBER")
        ),
        tables.makearrcoldesc(column, 0.0 if column == "FPARAM" else 0j, ndim=2),
        tables.makearrcoldesc("FLAG", False, ndim=2),
        tables.makearrcoldesc("SNR", 0.0, ndim=2),
    ]
    main = tables.table(str(path), tables.maketabdesc(described), ack=False)
    main.putkeyword("VisCal", subtype)
    main.putkeyword("MSName", "night.ms")
    main.putinfo({"type": "Calibration", "subType": info_subtype or subtype, "readme": ""})
    ids = np.tile(np.arange(n_antennas), len(WINDOWS_HZ))
    main.addrows(ids.size)
    main.putcol("TIME", np.full(ids.size, MJD * 86_400))
    main.putcol("SPECTRAL_WINDOW_ID", np.repeat(np.arange(len(WINDOWS_HZ)), n_antennas))
    main.putcol("ANTENNA1", ids)
    main.putcol("ANTENNA2", np.full(ids.size, -1 if column == "FPARAM" else 2))
    every = np.zeros(values.shape)
    for name, cells in (
        (column, values),
        ("FLAG", every.astype(bool) if flags is None else flags),
        ("SNR", every + snr),
    ):
        # casacore's axes run the other way: (row, channel, receptor).
        main.putcol(name, np.tile(np.swapaxes(cells, 1, 2), (len(WINDOWS_HZ), 1, 1)))
    antenna = _subtable(main, "ANTENNA", [tables.makescacoldesc("NAME", "")], n_antennas)
    antenna.putcol("NAME", names)
    window = _subtable(
        main,
        "SPECTRAL_WINDOW",
        [tables.makearrcoldesc(name, 0.0, ndim=1) for name in ("CHAN_FREQ", "CHAN_WIDTH")],
        len(WINDOWS_HZ) + 1,
    )
    # The last window is one that nothing refers to.
    for row, hz in enumerate((*WINDOWS_HZ, np.array([8e9]))):
        hz = hz if n_channels > 1 else hz.mean(keepdims=True)
        window.putcell("CHAN_FREQ", row, hz)
        window.putcell("CHAN_WIDTH", row, np.full(hz.size, 1.17e7 / hz.size))
    directions = [
        tables.makescacoldesc("NAME", ""),
        tables.makescacoldesc("TIME", 0.0),
        tables.makearrcoldesc("PHASE_DIR", 0.0, ndim=2),
    ]
    field = _subtable(main, "FIELD", directions, 1)
    field.putcell("NAME", 0, "3C48")
    field.putcell("PHASE_DIR", 0, np.radians([[24.4, declination_deg]]))
    field.putcolkeyword("PHASE_DIR", "MEASINFO", {"type": "direction", "Ref": frame})
    for one in (antenna, window, field, main):
        one.close()
    return path


def _subtable(main: Any, name: str, columns: list[Any], rows: int) -> Any:
    from casacore import tables

    made = tables.table(f"{main.name()}/{name}", tables.maketabdesc(columns), ack=False)
    made.addrows(rows)
    main.putkeyword(name, f"Table: {main.name()}/{name}")
    return made


def bandpass(n_antennas: int, snr: float, n_channels: int = 48) -> Any:
    """Return complex gains near 1 with the noise of an SNR; 0 makes pure noise."""
    rng = np.random.default_rng(3)
    shape = (n_antennas, 2, n_channels)
    noise = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)
    return noise if snr == 0 else 1.2 + 1.2 * noise / snr
