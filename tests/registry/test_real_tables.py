"""Tables that CASA solved from the real observation NGC5921, through the real inspector."""

from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import RegistrationRefused
from contimg_resources.registry.store import CalibrationRegistry


def solve_by_hand(prefix: Path) -> list[Path]:
    """Write `_kcal`, `_bpcal` and `_gpcal` as an astronomer would, with default options."""
    import casadata
    from casatasks import bandpass, gaincal, importuvfits, setjy

    importuvfits(fitsfile=f"{casadata.datapath}/demo/NGC5921.fits", vis="n.ms")
    setjy(vis="n.ms", field="0", standard="Perley-Butler 2017")
    tables = {kind: f"{prefix}_{kind}cal" for kind in ("k", "bp", "gp")}
    common = {"vis": "n.ms", "field": "0", "refant": "15"}
    gaincal(caltable=tables["k"], gaintype="K", combine="scan", **common)
    bandpass(caltable=tables["bp"], **common)
    gaincal(caltable=tables["gp"], calmode="p", spw="0:6~56", **common)
    return [Path(t) for t in tables.values()]


@pytest.mark.realdata
def test_the_prefix_of_a_real_solve_is_registered_looked_up_and_verified(
    casa: Casa, tmp_path: Path
) -> None:
    prefix = tmp_path / "ngc5921"
    casa.run(solve_by_hand, prefix, label="solve-by-hand")
    registry = CalibrationRegistry.with_casa(str(tmp_path / "r.sqlite3"), casa)
    registered = registry.register_prefix(prefix, "NGC5921")
    assert [t.type.value for t in registered.tables] == ["K", "BP", "GP"]
    assert registered.calibrator == "1331+30500002_0"
    assert registered.mid_mjd == pytest.approx(49_820.39, abs=0.02)
    assert len(registered.layout.antenna_names) == 28
    assert registered.layout.spectral_windows_hz[0][2] == 63
    found = registry.active(49_820.4)
    assert found.set == registered
    # Opening the tables once more must not look like an alteration.
    registry.register_prefix(prefix, "again")
    assert registry.verify() == []
    delay = prefix.with_name("ngc5921_kcal")
    delay.rename(prefix.with_name("wrong_bpcal"))
    with pytest.raises(RegistrationRefused, match="holds 'K Jones' solutions, not B Jones"):
        registry.register_prefix(prefix.with_name("wrong"), "wrong")
