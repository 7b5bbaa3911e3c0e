"""The VLA calibrator manual's list becomes a list of one's own."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from contimg_resources.catalogues.calibrator_lists import load_calibrators
from contimg_resources.catalogues.vla_calibrators import read_vla_list, vla_calibrators
from contimg_resources.cli.main import run
from contimg_resources.core.errors import CatalogueError, ConfigurationError

HEADING = (
    "-----------------------------------------------------\n"
    "BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)\n"
    "=====================================================\n"
)
#: Real entries: both bands of a slope, a limit of the baselines without a flux density, a compact
#: source at L band and up, one that must not be used, one of L band alone, P and C alone.
LIST = f"""IAU NAME EQUINOX  PC RA(hh,mm,ss)    DEC(ddd,mm,ss)   POS.REF ALT.NAME

0319+415   J2000  B 03h19m48.160102s  41d30'42.103050"  Aug01  3C84
0316+413   B1950  B 03h16m29.567300s  41d19'51.916000"
{HEADING} 90cm    P  S X X X          8           13
 20cm    L  P P X X      23.9            12
  6cm    C  P P P P      23.3
0.7cm    Q  X S S S      9.00                 1800   visplot

0003-174   J2000  T 00h03m21.9969s   -17d27'11.781\"
0000-177   B1950  T 00h00m48.4200s   -17d43'54.000\"
{HEADING} 90cm    P  X S S S          7                        7
 20cm    L  X X X S        2.2                        7

0005+383   J2000  A 00h05m57.1755s    38d20'15.169"   Oct96   CJ2
0003+380   B1950  A 00h03m22.3357s    38d03'33.430"
{HEADING} 20cm    L  X X P P       0.40
  6cm    C  P P P P       0.80                        visplot

0137+331   J2000  B 01h37m41.299431s  33d09'35.132990''  Aug01  3C48
0134+329   B1950  B 01h34m49.826400s  32d54'20.259000''
{HEADING} 20cm    L  X P P P      16.50                   40
  6cm    C  X S P P       5.48                  40

1000+100   J2000  C 10h00m00.0000s    10d00'00.000"
0957+102   B1950  C 09h57m20.0000s    10d14'00.000"
{HEADING} 20cm    L  P P P P       1.20

1100+100   J2000  C 11h00m00.0000s    10d00'00.000"
1057+102   B1950  C 10h57m20.0000s    10d16'00.000"
{HEADING} 90cm    P  P P P P       4.00
 20cm    L  ? ? P P                      10
  6cm    C  P P P P       1.00

2253+161   J2000  A 22h53m57.747932s  16d08'53.560900"  Aug01  3C454.3
2251+158   B1950  A 22h51m29.521900s  15d52'54.300000"
{HEADING} 20cm    L  P P P P      14.5
  6cm    C  P P P P      14.0

1200-100   B1950  C 12h00m00.0000s   -10d00'00.000"
{HEADING} 20cm    L  P P P P       2.00
3.7cm    X  P P P P       1.00
"""


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    path = tmp_path / "csource.txt"
    path.write_text(LIST)
    return path


def test_names_positions_and_bands_are_read(manual: Path) -> None:
    sources = {s.names[0]: s for s in read_vla_list(manual)}
    assert len(sources) == 8
    first = sources["0319+415"]
    assert first.names == ("0319+415", "0316+413", "B0316+413", "J0319+415", "3C84")
    assert first.ra_deg == pytest.approx(15 * (3 + 19 / 60 + 48.160102 / 3600))
    assert first.dec_deg == pytest.approx(41 + 30 / 60 + 42.10305 / 3600)
    assert [(b.band, b.flux_jy, b.codes) for b in first.bands] == [
        *(("P", 8.0, "SXXX"), ("L", 23.9, "PPXX")),
        *(("C", 23.3, "PPPP"), ("Q", 9.0, "XSSS")),
    ]
    assert sources["0003-174"].dec_deg == pytest.approx(-(17 + 27 / 60 + 11.781 / 3600))
    assert sources["1100+100"].bands[1].flux_jy is None, "a least baseline is no flux density"
    where = SkyCoord("12h00m00s -10d00m00s", frame="fk4").icrs
    assert sources["1200-100"].ra_deg == pytest.approx(where.ra.deg)
    assert sources["1200-100"].dec_deg == pytest.approx(where.dec.deg)


def test_flux_densities_at_our_band_follow_from_bands_or_are_refused(manual: Path) -> None:
    found = vla_calibrators(manual)
    by_name = {c.name: c for c in found.calibrators}
    assert sorted(by_name) == ["0005+383", "1100+100", "1200-100"]
    rising = by_name["0005+383"]
    assert rising.flux_jy(1.425e9) == pytest.approx(0.4)
    assert rising.flux_jy(4.86e9) == pytest.approx(0.8)
    between = by_name["1100+100"]
    index = np.log(1 / 4) / np.log(4.86 / 0.3275)
    assert between.flux_jy(1.4e9) == pytest.approx(4 * (1.4 / 0.3275) ** index)
    assert found.refused == {
        "0319+415": "code X at L band in configuration C: not to be used",
        "0003-174": "code X at L band in configuration C: not to be used",
        "0137+331": "3C48, which the flux scale has already",
        "1000+100": "measured at L band only, so its spectral index isn't known",
        "2253+161": found.refused["2253+161"],
    }
    assert "blazar" in found.refused["2253+161"]


def test_the_configuration_and_an_assumed_index_count(manual: Path) -> None:
    found = vla_calibrators(manual, configuration="A", spectral_index=-0.7)
    by_name = {c.name: c for c in found.calibrators}
    assert sorted(by_name) == ["0319+415", "1000+100", "1200-100"]
    assert by_name["1000+100"].flux_jy(2.85e9) == pytest.approx(1.2 * 2**-0.7)
    assert found.refused["1100+100"].startswith("code ? at L band in configuration A")
    with pytest.raises(ConfigurationError, match="no configuration 'E'"):
        vla_calibrators(manual, configuration="E")


def test_the_page_of_the_manual_is_read_like_its_text(manual: Path) -> None:
    page = manual.with_suffix(".html")
    text = LIST.replace('"', "&quot;").replace("visplot", '<A HREF="x.gif">visplot</A>')
    page.write_text(f"<HTML><PRE>\n{text}</PRE></HTML>")
    assert read_vla_list(page) == read_vla_list(manual)


def test_a_line_that_can_t_be_read_refuses_its_source_alone(manual: Path) -> None:
    wrong = LIST.replace("11h00m00.0000s", "11h75m00.0000s").replace("12h00m00.0000s", "12h0")
    wrong = wrong.replace("20cm    L  X X P P       0.40", "20cm    L  X X P        0.40")
    manual.write_text(wrong)
    found = vla_calibrators(manual, configuration="D")
    assert [c.name for c in found.calibrators] == ["0003-174"]
    assert "11h75m00.0000s 10d00'00.000 is no position" in found.refused["1100+100"]
    assert "'20cm    L  X X P        0.40', is no line of a band" in found.refused["0005+383"]
    assert "has no position that can be read" in found.refused["1200-100"]
    manual.write_text(HEADING)
    with pytest.raises(CatalogueError, match="holds no source of the VLA's list"):
        read_vla_list(manual)


def test_a_survey_s_name_is_no_name_of_its_sources(manual: Path) -> None:
    manual.write_text(LIST.replace("10d00'00.000\"", "10d00'00.000\"  Aug01  JVAS"))
    found = vla_calibrators(manual, spectral_index=-0.7)
    assert {c.name for c in found.calibrators} >= {"1000+100", "1100+100"}
    assert not any("JVAS" in c.names for c in found.calibrators)


def test_an_imported_list_is_one_s_own(
    manual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    command = ["calibrators", "import", str(manual), "--state", str(state)]
    assert run([*command, "--dry-run"]) == 0
    assert "3 calibrators in" in capsys.readouterr().err
    assert not state.exists()
    assert run(command) == 0
    said = capsys.readouterr().err
    assert f"3 calibrators in {state / 'calibrators.csv'}" in said
    assert "left out 1000+100: measured at L band only" in said
    catalogue = load_calibrators(state / "calibrators.csv")
    for name in ("0005+383", "J0005+383", "0003+380", "B0003+380", "CJ2"):
        assert catalogue.find(name).name == "0005+383"
    assert catalogue.find("CJ2").flux_jy(1.425e9) == pytest.approx(0.4, rel=1e-4)
    assert run(command) == 2
    assert "--replace replaces it" in capsys.readouterr().err
    assert run([*command, "--replace", "--spectral-index", "-0.7", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "1000+100" in told["calibrators"]


def test_the_known_calibrators_are_listed(
    manual: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = tmp_path / "mine.csv"
    assert run(["calibrators", "import", str(manual), "--output", str(mine)]) == 0
    monkeypatch.setenv("CONTIMG_ARRIVAL__CALIBRATOR_LIST", str(mine))
    capsys.readouterr()
    assert run(["calibrators", "list", "--json"]) == 0
    known = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert known["3C48"]["flux_jy"] == pytest.approx(16.25, abs=0.05)
    assert "B0003+380" in known["0005+383"]["aliases"]
    assert known["0005+383"]["scale"] == "mine.csv"


def test_any_table_of_calibrators_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "cals.csv"
    table.write_text("Src,RAJ2000,DEJ2000,S1400\nA1,01:00:00,-31:30:00,2500\n")
    command = ["calibrators", "import", str(table), "--output", str(tmp_path / "mine.csv")]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "--column ra=RAJ2000 --column dec=DEJ2000 --column flux=S1400:mJy" in said
    roles = ["name=Src", "ra=RAJ2000", "dec=DEJ2000", "flux=S1400:mJy"]
    options = [w for r in roles for w in ("--column", r)]
    assert run([*command, *options, "--frequency", "1.4GHz", "--spectral-index", "-0.5"]) == 0
    (mine,) = load_calibrators(tmp_path / "mine.csv").calibrators[4:]
    assert (mine.name, mine.ra_deg, mine.dec_deg) == ("A1", 15.0, -31.5)
    assert mine.flux_jy(2.8e9) == pytest.approx(2.5 * 2**-0.5)
