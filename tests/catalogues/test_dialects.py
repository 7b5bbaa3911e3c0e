"""Surveys and source finders, with the columns that their publishers give them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from contimg_resources.catalogues.columns import Given
from contimg_resources.catalogues.model import CatalogueSources
from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.core.errors import CatalogueError

RA = np.array([0.0153, 24.42208, 187.70593, 300.5, 359.9999])
DEC = np.array([-48.4985, 33.15972, 12.39112, -0.5, 29.25])
JY = np.array([0.0176, 16.018, 141.9, 0.25, 0.5])
PEAK = 0.9 * JY
NAMES = [f"S{i}" for i in range(5)]
HMS = SkyCoord(RA, DEC, unit="deg").ra.to_string(u.hour, sep=":", precision=3, pad=True)
DMS = SkyCoord(RA, DEC, unit="deg").dec.to_string(
    u.deg, sep=":", precision=2, pad=True, alwayssign=True
)
ONE = np.ones(5)


def five(columns: dict[str, Any], units: dict[str, str] | None = None) -> Table:
    table = Table(columns)
    for name, unit in (units or {}).items():
        table[name].unit = unit
    return table


def check(
    path: Path,
    survey: str,
    ghz: float,
    *,
    error: float | None = 0.03,
    major: float | None = 30.0,
    given: Given | None = None,
    wanted: str = "auto",
) -> CatalogueSources:
    found = read_catalogue(path, "c", wanted, given)
    sources = found.sources
    assert found.survey == survey
    assert sources.ra_deg == pytest.approx(RA, abs=2e-5)
    assert sources.dec_deg == pytest.approx(DEC, abs=2e-5)
    assert sources.flux_jy == pytest.approx(JY)
    assert sources.reference_ghz == pytest.approx(ghz * ONE)
    if error is not None:
        assert sources.flux_error_jy == pytest.approx(error * JY)
    if major is not None:
        assert sources.major_arcsec == pytest.approx(major * ONE, rel=1e-4)
    return sources


#: Name, survey, GHz, columns as published (flux densities as published too), error column there.
TABLES: list[tuple[str, str, float, dict[str, Any]]] = [
    (
        *("nvss_vizier", "nvss", 1.4),
        {
            **{"NVSS": NAMES, "RAJ2000": HMS, "DEJ2000": DMS, "S1.4": 1e3 * JY},
            **{"e_S1.4": 30 * JY, "l_MajAxis": [""] * 5, "MajAxis": 30 * ONE, "MinAxis": 20 * ONE},
        },
    ),
    (
        *("nvss_heasarc", "nvss", 1.4),
        {
            **{"NAME": NAMES, "RA": RA, "DEC": DEC, "FLUX_20_CM": 1e3 * JY},
            **{"FLUX_20_CM_ERROR": 30 * JY, "MAJOR_AXIS": 30 * ONE, "MINOR_AXIS": 20 * ONE},
        },
    ),
    (
        *("first_publisher", "first", 1.4),
        {
            **{"RA": RA, "DEC": DEC, "SIDEPROB": 0 * RA, "FPEAK": 1e3 * PEAK, "FINT": 1e3 * JY},
            **{"RMS": 30 * JY, "MAJOR": 30 * ONE, "MINOR": 20 * ONE, "POSANG": 5 * ONE},
        },
    ),
    (
        *("first_vizier", "first", 1.4),
        {
            **{"FIRST": NAMES, "RAJ2000": RA, "DEJ2000": DEC, "Fpeak": 1e3 * PEAK},
            **{"Fint": 1e3 * JY, "Rms": 30 * JY, "Maj": 30 * ONE, "Min": 20 * ONE, "PA": ONE},
        },
    ),
    (
        *("first_heasarc", "first", 1.4),
        {
            **{"name": NAMES, "ra": RA, "dec": DEC, "flux_20_cm": 1e3 * PEAK},
            **{"int_flux_20_cm": 1e3 * JY, "flux_20_cm_error": 30 * JY, "major_axis": 30 * ONE},
            **{"minor_axis": 20 * ONE, "position_angle": ONE},
        },
    ),
    (
        *("racs_casda", "racs", 0.8875),
        {
            **{"id": np.arange(5), "catalogue_id": ONE, "source_name": NAMES, "source_id": NAMES},
            **{"n_gaus": ONE, "ra": RA, "dec": DEC, "e_ra": ONE, "e_dec": ONE},
            **{"total_flux_source": 1e3 * JY, "e_total_flux_source_pybdsf": JY},
            **{"e_total_flux_source": 30 * JY, "peak_flux": 1e3 * PEAK, "maj_axis": 30 * ONE},
            **{"min_axis": 20 * ONE, "pa": ONE, "total_flux_isl": 1e3 * JY, "s_code": ["S"] * 5},
        },
    ),
    (
        *("vlass_cirada", "vlass", 3.0),
        {
            **{"Component_name": NAMES, "Component_id": ONE, "Isl_id": ONE, "RA": RA, "DEC": DEC},
            **{"E_RA": ONE, "E_DEC": ONE, "Total_flux": 1e3 * JY, "E_Total_flux": 30 * JY},
            **{"Peak_flux": 1e3 * PEAK, "E_Peak_flux": ONE, "Maj": 31 * ONE, "Min": ONE, "PA": ONE},
            **{"S_Code": ["S"] * 5, "DC_Maj": 30 * ONE, "DC_Min": 20 * ONE, "DC_PA": ONE},
            **{"Duplicate_flag": [0, 1, 0, 1, 0], "Quality_flag": [0] * 5},
        },
    ),
    (
        *("vlass_vizier", "vlass", 3.0),
        {
            **{"CompName": NAMES, "RAJ2000": RA, "DEJ2000": DEC, "Ftot": 1e3 * JY},
            **{"e_Ftot": 30 * JY, "Fpeak": 1e3 * PEAK, "DCMaj": 30 * ONE, "DCMin": 20 * ONE},
            **{"DCPA": ONE, "DupFlag": [0] * 5, "QualFlag": [0] * 5},
        },
    ),
    (
        *("tgss_publisher", "tgss", 0.1475),
        {
            **{"Source_name": NAMES, "RA": RA, "E_RA": ONE, "DEC": DEC, "E_DEC": ONE},
            **{"Total_flux": 1e3 * JY, "E_Total_flux": 30 * JY, "Peak_flux": 1e3 * PEAK},
            **{"E_Peak_flux": ONE, "Maj": 30 * ONE, "E_Maj": ONE, "Min": 20 * ONE, "PA": ONE},
            **{"RMS_noise": ONE, "Source_code": ["S"] * 5, "Mosaic_name": ["R01D01"] * 5},
        },
    ),
    (
        *("tgss_vizier", "tgss", 0.1475),
        {
            **{"TGSSADR": NAMES, "RAJ2000": RA, "DEJ2000": DEC, "Stotal": 1e3 * JY},
            **{"e_Stotal": 30 * JY, "Speak": 1e3 * PEAK, "Maj": 30 * ONE, "Min": ONE, "PA": ONE},
        },
    ),
    (
        *("lotss", "lotss", 0.144),
        {
            **{"Source_Name": NAMES, "RA": RA, "DEC": DEC, "Peak_flux": 1e3 * PEAK},
            **{"Total_flux": 1e3 * JY, "E_Total_flux": 30 * JY, "Maj": 30 * ONE, "Min": ONE},
            **{"PA": ONE, "S_Code": ["S"] * 5, "Mosaic_ID": ["P1"] * 5},
        },
    ),
    (
        *("gleam_publisher", "gleam", 0.2),
        {
            **{"Name": NAMES, "ra_str": HMS, "dec_str": DMS, "RAJ2000": RA, "DEJ2000": DEC},
            **{"peak_flux_wide": PEAK, "int_flux_wide": JY, "err_int_flux_wide": 0.03 * JY},
            **{"a_wide": 30 * ONE, "b_wide": 20 * ONE, "pa_wide": ONE, "alpha": -0.8 * ONE},
            **{"int_flux_076": 2 * JY},
        },
    ),
    (
        *("gleam_vizier", "gleam", 0.2),
        {
            **{"GLEAM": NAMES, "RAJ2000": RA, "DEJ2000": DEC, "Fpwide": PEAK, "Fintwide": JY},
            **{"e_Fintwide": 0.03 * JY, "awide": 30 * ONE, "bwide": ONE, "pawide": ONE},
            **{"alpha": -0.8 * ONE},
        },
    ),
    (
        *("sumss_vizier", "sumss", 0.843),
        {
            **{"RAJ2000": HMS, "DEJ2000": DMS, "Sp": 1e3 * PEAK, "e_Sp": ONE, "St": 1e3 * JY},
            **{"e_St": 30 * JY, "MajAxis": 30 * ONE, "MinAxis": ONE, "PA": ONE},
            **{"Mosaic": ["J2130M48"] * 5},
        },
    ),
    (
        *("vlssr_vizier", "vlssr", 0.0738),
        {
            **{"VLSS": NAMES, "RAJ2000": HMS, "DEJ2000": DMS, "Si": JY, "e_Si": 0.03 * JY},
            **{"MajAx": 30 * ONE, "MinAx": 20 * ONE, "PA": ONE},
        },
    ),
    (
        *("vlssr_heasarc", "vlssr", 0.0738),
        {
            **{"name": NAMES, "ra": RA, "dec": DEC, "flux_74_mhz": 1e3 * JY},
            **{"flux_74_mhz_error": 30 * JY, "major_axis": 30 * ONE, "minor_axis": ONE},
        },
    ),
    (
        *("selavy_casda", "selavy", 1.3675),
        {
            **{"id": np.arange(5), "catalogue_id": ONE, "island_id": NAMES, "component_id": NAMES},
            **{"component_name": NAMES, "ra_hms_cont": HMS, "dec_dms_cont": DMS},
            **{"ra_deg_cont": RA, "dec_deg_cont": DEC, "freq": 1367.5 * ONE},
            **{"flux_peak": 1e3 * PEAK, "flux_peak_err": ONE, "flux_int": 1e3 * JY},
            **{"flux_int_err": 30 * JY, "maj_axis": 30 * ONE, "min_axis": 20 * ONE},
            **{"pos_ang": ONE, "spectral_index": -99.0 * ONE},
        },
    ),
]


@pytest.mark.parametrize(("name", "survey", "ghz", "columns"), TABLES, ids=[t[0] for t in TABLES])
def test_a_survey_is_recognised_and_read(
    tmp_path: Path, name: str, survey: str, ghz: float, columns: dict[str, Any]
) -> None:
    five(columns).write(tmp_path / f"{name}.csv")
    sources = check(tmp_path / f"{name}.csv", survey, ghz)
    if "alpha" in columns:
        assert sources.spectral_index == pytest.approx(-0.8 * ONE)
    else:
        assert np.isnan(sources.spectral_index).all()
    named = "FINT" not in columns and survey != "sumss"
    assert (sources.name.tolist() == NAMES) == named


def test_racs_mid_and_high_have_one_header_and_are_told_apart(tmp_path: Path) -> None:
    columns = {
        **{"Name": NAMES, "Source_ID": NAMES, "Field_ID": NAMES, "RA": RA, "Dec": DEC},
        **{"Total_flux": 1e3 * JY, "E_Total_flux": 30 * JY, "Maj": 30 * ONE, "Min": ONE},
        **{"PA": ONE, "SBID": ONE},
    }
    five(columns).write(tmp_path / "t.fits")
    with pytest.raises(CatalogueError, match="choose with --survey racs-mid or --survey racs-high"):
        read_catalogue(tmp_path / "t.fits", "c")
    check(tmp_path / "t.fits", "racs-mid", 1.3675, wanted="racs-mid")
    check(tmp_path / "t.fits", "racs-high", 1.6555, wanted="racs-high")
    (tmp_path / "t.fits").rename(tmp_path / "RACS-high_sources.fits")
    check(tmp_path / "RACS-high_sources.fits", "racs-high", 1.6555)


def test_the_fits_of_vlssr_has_peaks_and_sizes(tmp_path: Path) -> None:
    columns = {
        **{"RA(2000)": RA, "DEC(2000)": DEC, "PEAK INT": JY / 2, "MAJOR AX": 150 / 3600 * ONE},
        **{"MINOR AX": 75 / 3600 * ONE, "POSANGLE": ONE, "I RMS": ONE},
    }
    units = {"RA(2000)": "deg", "PEAK INT": "Jy/beam", "MAJOR AX": "deg", "MINOR AX": "deg"}
    five(columns, units).write(tmp_path / "FullVLSSCatalog.fits")
    check(tmp_path / "FullVLSSCatalog.fits", "vlssr", 0.0738, error=None, major=150.0)
    (tmp_path / "FullVLSSCatalog.fits").rename(tmp_path / "c.fits")
    with pytest.raises(CatalogueError, match="those of nvss and vlssr alike"):
        read_catalogue(tmp_path / "c.fits", "c")
    check(tmp_path / "c.fits", "vlssr", 0.0738, error=None, major=150.0, wanted="vlssr")


def test_the_text_of_vlssr(tmp_path: Path) -> None:
    lines = [
        "VLSS catalog listing",
        " RA(2000)    Dec(2000)  Ori     Flux  Major  Minor   PA    Field",
        '  h  m    s    d  m   s           Jy     "      "    deg',
    ]
    for i, (h, d) in enumerate(zip(HMS, DMS, strict=True)):
        position = f"{h.replace(':', ' ')[:11]} {d.replace(':', ' ')[:11]}"
        limit = "<" if i == 0 else " "
        lines.append(f"{position:<30}{JY[i]:6.2f} {limit}{30.0:4.1f}  {20.0:4.1f} {5.0:5.1f} F")
        lines.append(f"{'':6}{0.03:5.2f}{'':8}{0.4:4.1f}{'':7}{0.03:6.2f}")
    (tmp_path / "FullVLSSCatalog.text").write_text("\n".join(lines))
    found = read_catalogue(tmp_path / "FullVLSSCatalog.text", "c")
    sources = found.sources
    assert found.survey == "vlssr"
    assert sources.ra_deg == pytest.approx(RA, abs=1e-4)
    assert sources.dec_deg == pytest.approx(DEC, abs=1e-4)
    assert sources.flux_jy == pytest.approx(np.round(JY, 2))
    assert sources.flux_error_jy == pytest.approx(0.03 * ONE)
    assert np.isnan(sources.major_arcsec[0])
    assert sources.major_arcsec[1:] == pytest.approx(30 * ONE[1:])


def test_the_text_of_sumss_has_no_header(tmp_path: Path) -> None:
    lines = [
        f"{h.replace(':', ' ')} {d.replace(':', ' ')} 1.6 1.8 {1e3 * p:.2f} 1.1 {1e3 * jy:.1f} "
        f"{30 * jy:.2f} 30.0 20.0 0.0 0.0 0.0 0.0 J2130M48 1 500.1 600.2"
        for h, d, p, jy in zip(HMS, DMS, PEAK, JY, strict=True)
    ]
    (tmp_path / "sumsscat.Mar-11-2008").write_text("\n".join(lines) + "\n")
    sources = check(tmp_path / "sumsscat.Mar-11-2008", "sumss", 0.843, error=None)
    assert sources.flux_error_jy == pytest.approx(0.03 * JY, abs=1e-5)
    assert sources.name[0] == "J000003.67-482954.6"


PYBDSF = {
    **{"Source_id": np.arange(5), "Isl_id": np.arange(5), "RA": RA, "E_RA": ONE, "DEC": DEC},
    **{"E_DEC": ONE, "Total_flux": JY, "E_Total_flux": 0.03 * JY, "Peak_flux": PEAK},
    **{"E_Peak_flux": ONE, "Maj": 30 / 3600 * ONE, "Min": 20 / 3600 * ONE, "PA": ONE},
    **{"S_Code": ["S"] * 5},
}


def test_lists_of_pybdsf(tmp_path: Path) -> None:
    hdu = fits.table_to_hdu(five(PYBDSF, {"RA": "deg", "Total_flux": "Jy", "Maj": "deg"}))
    hdu.header["FREQ0"] = 8.875e8
    hdu.header["EQUINOX"] = 2000.0
    hdu.writeto(tmp_path / "p.srl.fits")
    check(tmp_path / "p.srl.fits", "pybdsf", 0.8875)
    remarks = (
        "# Source list for image.fits\n# Generated by PyBDSM version 1.11\n"
        '# Reference frequency of the detection ("ch0") image: 8.87500e+08 Hz\n'
        "# Equinox : 2000.0\n \n"
    )
    rows = list(zip(*PYBDSF.values(), strict=True))
    for separator, name in ((", ", "p.csv"), (" ", "p.ascii")):
        body = "".join(separator.join(str(v) for v in row) + "\n" for row in rows)
        (tmp_path / name).write_text(f"{remarks}# {separator.join(PYBDSF)}\n{body}")
        check(tmp_path / name, "pybdsf", 0.8875)
    (tmp_path / "b.ascii").write_text(
        (tmp_path / "p.ascii").read_text().replace("2000.0", "1950.0")
    )
    sources = read_catalogue(tmp_path / "b.ascii", "c").sources
    where = SkyCoord(RA, DEC, unit="deg", frame="fk4").icrs
    assert sources.ra_deg == pytest.approx(where.ra.deg)


def test_components_of_aegean_need_a_frequency(tmp_path: Path) -> None:
    columns = {
        **{"island": ONE, "source": ONE, "background": ONE, "local_rms": ONE, "ra_str": HMS},
        **{"dec_str": DMS, "ra": RA, "err_ra": ONE, "dec": DEC, "err_dec": ONE},
        **{"peak_flux": PEAK, "err_peak_flux": ONE, "int_flux": JY, "err_int_flux": -1 * ONE},
        **{"a": 30 * ONE, "err_a": ONE, "b": 20 * ONE, "pa": ONE, "flags": [0] * 5},
    }
    path = tmp_path / "a_comp.csv"
    five(columns).write(path)
    with pytest.raises(CatalogueError) as refused:
        read_catalogue(path, "c")
    assert "it doesn't state the frequency of the flux densities" in refused.value.message
    assert "--frequency 1400MHz" in refused.value.message
    sources = check(path, "aegean", 0.2, error=None, given=Given.parse([], frequency="200MHz"))
    assert np.isnan(sources.flux_error_jy).all()


def test_components_of_selavy_as_text_and_votable(tmp_path: Path) -> None:
    names = ["island_id", "component_name", "ra_hms_cont", "ra_deg_cont", "dec_deg_cont", "freq"]
    names += ["flux_peak", "flux_int", "flux_int_err", "maj_axis", "min_axis", "comment"]
    units = ["--", "", "", "[deg]", "[deg]", "[MHz]", "[mJy/beam]", "[mJy]", "[mJy]", "[arcsec]"]
    units += ["[arcsec]", ""]
    text = "#" + "".join(f"{n:>16}" for n in names) + "\n"
    text += "#" + "".join(f"{n:>16}" for n in units) + "\n"
    for i in range(5):
        row = [f"isl_{i}", NAMES[i], HMS[i], f"{RA[i]:.6f}", f"{DEC[i]:.6f}", "887.5"]
        row += [
            f"{1e3 * PEAK[i]:.3f}",
            f"{1e3 * JY[i]:.3f}",
            f"{30 * JY[i]:.4f}",
            "30.0",
            "20.0",
            "",
        ]
        text += " " + "".join(f"{v:>16}" for v in row) + "\n"
    (tmp_path / "selavy.components.txt").write_text(text)
    assert check(tmp_path / "selavy.components.txt", "selavy", 0.8875).name.tolist() == NAMES
    table = five(
        {
            **{"col_component_name": NAMES, "col_ra_deg_cont": RA, "col_dec_deg_cont": DEC},
            **{"col_freq": 887.5 * ONE, "col_flux_peak": PEAK, "col_flux_int": 1e3 * JY},
            **{"col_flux_int_err": 30 * JY, "col_maj_axis": 30 * ONE, "col_min_axis": ONE},
        },
        {"col_freq": "MHz", "col_flux_int": "mJy", "col_flux_int_err": "mJy"},
    )
    table.write(tmp_path / "selavy.xml", format="votable")
    check(tmp_path / "selavy.xml", "selavy", 0.8875)


def test_a_stated_unit_counts_more_than_the_survey_s(tmp_path: Path) -> None:
    columns = dict(TABLES[8][3])
    columns["Total_flux"], columns["E_Total_flux"] = JY, 0.03 * JY
    columns["Maj"] = 30 / 3600 * ONE
    five(columns, {"Total_flux": "Jy", "Maj": "deg"}).write(tmp_path / "tgss.fits")
    check(tmp_path / "tgss.fits", "tgss", 0.1475)


def test_a_survey_is_known_by_the_name_of_the_catalogue_or_the_file(tmp_path: Path) -> None:
    columns = {"RA": RA, "DEC": DEC, "Total_flux": 1e3 * JY, "E_Total_flux": 30 * JY}
    five(columns).write(tmp_path / "part.csv")
    with pytest.raises(CatalogueError, match="no known column for right ascension"):
        read_catalogue(tmp_path / "part.csv", "c")
    found = read_catalogue(tmp_path / "part.csv", "my_vlass")
    assert found.survey == "vlass"
    assert found.sources.flux_jy == pytest.approx(JY)
    (tmp_path / "part.csv").rename(tmp_path / "TGSS_north.csv")
    check(tmp_path / "TGSS_north.csv", "tgss", 0.1475, major=None)


def test_sizes_in_arcsec_are_not_taken_for_degrees(tmp_path: Path) -> None:
    columns = {**PYBDSF, "Total_flux": 1e3 * JY, "Maj": 30 * ONE, "Min": 20 * ONE}
    five(columns).write(tmp_path / "p.csv")
    with pytest.raises(CatalogueError, match="column Maj states no unit, and is no size in deg"):
        read_catalogue(tmp_path / "p.csv", "c", given=Given.parse([], frequency="1.4GHz"))


def test_another_band_of_a_survey_has_its_frequency(tmp_path: Path) -> None:
    five(dict(TABLES[11][3])).write(tmp_path / "g.csv")
    given = Given.parse(["flux=int_flux_076:Jy"])
    found = read_catalogue(tmp_path / "g.csv", "c", given=given)
    assert found.sources.flux_jy == pytest.approx(2 * JY)
    assert found.sources.reference_ghz == pytest.approx(0.076 * ONE)
    assert found.notes == ("0.076 GHz is taken from the name of column int_flux_076",)


def test_another_flux_density_of_a_survey_has_its_own_uncertainty(tmp_path: Path) -> None:
    columns = dict(TABLES[6][3])
    columns["E_Peak_flux"] = 7 * JY
    five(columns).write(tmp_path / "v.csv")
    sources = read_catalogue(
        tmp_path / "v.csv", "c", given=Given.parse(["flux=Peak_flux:mJy"])
    ).sources
    assert sources.flux_jy == pytest.approx(PEAK)
    assert sources.flux_error_jy == pytest.approx(0.007 * JY)
    assert sources.name.tolist() == NAMES


def test_what_a_survey_repeats_or_does_not_recommend_is_reported(tmp_path: Path) -> None:
    columns = dict(TABLES[6][3])
    columns["Duplicate_flag"], columns["Quality_flag"] = [0, 2, 0, 0, 0], [0, 0, 4, 0, 0]
    five(columns).write(tmp_path / "v.csv")
    found = read_catalogue(tmp_path / "v.csv", "c")
    assert found.sources.name.tolist() == ["S0", "S3", "S4"]
    (note,) = found.notes
    assert "1 that the survey lists a second time (first: row 2)" in note
    assert "1 that the survey doesn't recommend (first: row 3)" in note


def test_a_machine_readable_table_has_its_position_in_parts(tmp_path: Path) -> None:
    table = five({"Name": NAMES, "S": 1e3 * JY}, {"S": "mJy"})
    table["coord"] = SkyCoord(RA, DEC, unit="deg")
    table.write(tmp_path / "t.mrt", format="ascii.mrt")
    # The sign of -0 deg 30' is lost when astropy writes it.
    text = (tmp_path / "t.mrt").read_text().replace("+00 30", "-00 30")
    (tmp_path / "t.mrt").write_text(text)
    given = Given.parse(["flux=S"], frequency="1.4GHz")
    check(tmp_path / "t.mrt", "columns", 1.4, error=None, major=None, given=given)
