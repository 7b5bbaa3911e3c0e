"""Column names of surveys and source finders.

Belongs here: names, units and frequencies of columns as published, and recognising them in a table.
Doesn't: file formats (see `contimg_resources.tables`), reading values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contimg_resources.core.errors import CatalogueError
from contimg_resources.tables.model import Column, Table


@dataclass(frozen=True)
class Dialect:
    """The columns of a survey or of a source finder."""

    name: str  #: Its name on the command line.
    #: By role (see `contimg_resources.catalogues.columns.ROLES`): the column's name and, after a
    #: colon, its unit where the file states none; of several names, separated by bars, the first
    #: present one is used. An uncertainty without a unit has that of the flux density.
    columns: Mapping[str, str]
    #: Columns that distinguish it from other dialects, besides those of position and flux density;
    #: one of several names, separated by bars, is enough.
    marks: tuple[str, ...] = ()
    #: Frequency of the flux densities, GHz; None: the file or the user states it.
    reference_ghz: float | None = None
    #: The beam (FWHM) of a table with only peaks and fitted sizes: flux densities are peaks times
    #: the source's area in beams.
    peak_beam_arcsec: float | None = field(default=None, kw_only=True)

    def column(self, table: Table, role: str) -> tuple[Column | None, str | None]:
        """Return the column of a role, and its unit where the file states none.

        Raises
        ------
        TableError
            If several columns match the name.
        """
        names, _, unit = self.columns.get(role, "").partition(":")
        for name in filter(None, names.split("|")):
            if (found := table.find(name)) is not None:
                return found, unit or None
        return None, unit or None

    def fits(self, table: Table, *, marks: bool = True) -> bool:
        """Return whether a table has its columns of position and flux density, and its marks."""
        names = {n.casefold() for n in table.names}
        wanted = [self.columns[r].partition(":")[0] for r in ("ra", "dec", "flux")]
        if marks:
            wanted += self.marks
        return all(names & {n.casefold() for n in choice.split("|")} for choice in wanted)


_J2000 = {"ra": "RAJ2000:deg", "dec": "DEJ2000:deg"}
_RA_DEC = {"ra": "RA:deg", "dec": "DEC:deg"}
_AIPS = {
    **{"ra": "RA(2000):deg", "dec": "DEC(2000):deg", "flux": "PEAK INT:Jy/beam"},
    **{"major": "MAJOR AX:deg", "minor": "MINOR AX:deg", "angle": "POSANGLE:deg"},
}
_RACS_2024 = {
    **_RA_DEC,
    **{"name": "Name|Source_Name|Source_ID", "flux": "Total_flux:mJy"},
    **{"flux_error": "E_Total_flux", "major": "Maj|Maj_axis:arcsec"},
    **{"minor": "Min|Min_axis:arcsec", "angle": "PA:deg"},
}

#: The first match is used; if others have the very same columns, the user must choose.
DIALECTS = (
    # The user's own lists, and those that contimg writes.
    Dialect(
        "list",
        {
            **{"name": "name", "ra": "ra_deg:deg", "dec": "dec_deg:deg", "flux": "flux_jy:Jy"},
            **{"flux_error": "flux_error_jy:Jy", "frequency": "reference_ghz:GHz"},
            **{"spectral_index": "spectral_index", "major": "major_arcsec:arcsec"},
            **{"minor": "minor_arcsec:arcsec", "angle": "angle_deg:deg", "aliases": "aliases"},
        },
    ),
    # FIRST: Helfand, White & Becker 2015, ApJ 801, 26; RMS is the error of a peak. Its publisher's
    # FITS, VizieR VIII/92, HEASARC.
    Dialect(
        "first",
        {
            **_RA_DEC,
            **{"flux": "FINT:mJy", "flux_error": "RMS", "major": "MAJOR:arcsec"},
            **{"minor": "MINOR:arcsec", "angle": "POSANG:deg"},
        },
        ("MAJOR|FPEAK|SIDEPROB|RMS",),
        1.4,
    ),
    Dialect(
        "first",
        {
            **_J2000,
            **{"name": "FIRST", "flux": "Fint:mJy", "flux_error": "Rms", "major": "Maj:arcsec"},
            **{"minor": "Min:arcsec", "angle": "PA:deg"},
        },
        ("FIRST|Fpeak",),
        1.4,
    ),
    Dialect(
        "first",
        {
            **_RA_DEC,
            **{"name": "name", "flux": "int_flux_20_cm:mJy", "flux_error": "flux_20_cm_error"},
            **{"major": "major_axis:arcsec", "minor": "minor_axis:arcsec"},
            **{"angle": "position_angle:deg"},
        },
        (),
        1.4,
    ),
    # NVSS: Condon et al. 1998, AJ 115, 1693. VizieR VIII/65, HEASARC, the survey's own FITS.
    Dialect(
        "nvss",
        {
            **_J2000,
            **{"name": "NVSS", "flux": "S1.4:mJy", "flux_error": "e_S1.4"},
            **{"major": "MajAxis:arcsec", "minor": "MinAxis:arcsec", "angle": "PA:deg"},
            **{"limit": "l_MajAxis"},
        },
        (),
        1.4,
    ),
    Dialect(
        "nvss",
        {
            **_RA_DEC,
            **{"name": "name", "flux": "flux_20_cm:mJy", "flux_error": "flux_20_cm_error"},
            **{"major": "major_axis:arcsec", "minor": "minor_axis:arcsec"},
            **{"angle": "position_angle:deg", "limit": "limit_major_axis"},
        },
        (),
        1.4,
    ),
    Dialect("nvss", _AIPS, (), 1.4, peak_beam_arcsec=45.0),
    # RACS-low: Hale et al. 2021, PASA 38, e058; CASDA's table of sources.
    Dialect(
        "racs",
        {
            **_RA_DEC,
            **{"name": "source_name|source_id", "flux": "total_flux_source:mJy"},
            **{"flux_error": "e_total_flux_source", "major": "maj_axis|maj:arcsec"},
            **{"minor": "min_axis|min:arcsec", "angle": "pa:deg"},
        },
        (),
        0.8875,
    ),
    # RACS-mid and RACS-high: Duchesne et al. 2024, PASA 41, e003; 2025, PASA 42, e038.
    Dialect("racs-mid", _RACS_2024, ("Field_ID", "SBID"), 1.3675),
    Dialect("racs-high", _RACS_2024, ("Field_ID", "SBID"), 1.6555),
    # VLASS quick look, CIRADA's components: Gordon et al. 2021, ApJS 255, 30; VizieR.
    Dialect(
        "vlass",
        {
            **_RA_DEC,
            **{"name": "Component_name", "flux": "Total_flux:mJy", "flux_error": "E_Total_flux"},
            **{"major": "DC_Maj:arcsec", "minor": "DC_Min:arcsec", "angle": "DC_PA:deg"},
            **{"duplicate": "Duplicate_flag", "quality": "Quality_flag"},
        },
        ("Component_name|Duplicate_flag",),
        3.0,
    ),
    Dialect(
        "vlass",
        {
            **_J2000,
            **{"name": "CompName", "flux": "Ftot:mJy", "flux_error": "e_Ftot"},
            **{"major": "DCMaj:arcsec", "minor": "DCMin:arcsec", "angle": "DCPA:deg"},
            **{"duplicate": "DupFlag", "quality": "QualFlag"},
        },
        ("CompName",),
        3.0,
    ),
    # TGSS ADR1: Intema et al. 2017, A&A 598, A78; VizieR.
    Dialect(
        "tgss",
        {
            **_RA_DEC,
            **{"name": "Source_name", "flux": "Total_flux:mJy", "flux_error": "E_Total_flux"},
            **{"major": "Maj:arcsec", "minor": "Min:arcsec", "angle": "PA:deg"},
        },
        ("Source_name", "RMS_noise|Source_code"),
        0.1475,
    ),
    Dialect(
        "tgss",
        {
            **_J2000,
            **{"name": "TGSSADR|TGSS", "flux": "Stotal:mJy", "flux_error": "e_Stotal"},
            **{"major": "Maj:arcsec", "minor": "Min:arcsec", "angle": "PA:deg"},
        },
        ("TGSSADR|TGSS",),
        0.1475,
    ),
    # LoTSS: Shimwell et al. 2022, A&A 659, A1.
    Dialect(
        "lotss",
        {
            **_RA_DEC,
            **{"name": "Source_Name", "flux": "Total_flux:mJy", "flux_error": "E_Total_flux"},
            **{"major": "Maj:arcsec", "minor": "Min:arcsec", "angle": "PA:deg"},
        },
        ("Source_Name", "Mosaic_ID"),
        0.144,
    ),
    # GLEAM: Hurley-Walker et al. 2017, MNRAS 464, 1146; 170-231 MHz. Its own names and VizieR's.
    Dialect(
        "gleam",
        {
            **_J2000,
            **{"name": "Name|GLEAM", "flux": "int_flux_wide:Jy", "spectral_index": "alpha"},
            **{"flux_error": "err_int_flux_wide", "major": "a_wide:arcsec"},
            **{"minor": "b_wide:arcsec", "angle": "pa_wide:deg"},
        },
        (),
        0.2,
    ),
    Dialect(
        "gleam",
        {
            **_J2000,
            **{"name": "GLEAM", "flux": "Fintwide:Jy", "spectral_index": "alpha"},
            **{"flux_error": "e_Fintwide", "major": "awide:arcsec"},
            **{"minor": "bwide:arcsec", "angle": "pawide:deg"},
        },
        (),
        0.2,
    ),
    # SUMSS: Mauch et al. 2003, MNRAS 342, 1117; VizieR VIII/81B, HEASARC. See `rows`.
    Dialect(
        "sumss",
        {
            **_J2000,
            **{"flux": "St:mJy", "flux_error": "e_St", "major": "MajAxis:arcsec"},
            **{"minor": "MinAxis:arcsec", "angle": "PA:deg"},
        },
        ("Sp", "MajAxis|Mosaic"),
        0.843,
    ),
    Dialect(
        "sumss",
        {
            **_RA_DEC,
            **{"name": "name", "flux": "int_flux_36_cm:mJy", "flux_error": "int_flux_36_cm_error"},
            **{"major": "major_axis:arcsec", "minor": "minor_axis:arcsec"},
            **{"angle": "position_angle:deg"},
        },
        (),
        0.843,
    ),
    # VLSSr: Lane et al. 2014, MNRAS 440, 327. VizieR, HEASARC, the survey's own FITS and text.
    Dialect(
        "vlssr",
        {
            **_J2000,
            **{"name": "VLSSr|VLSS|Name", "flux": "Si:Jy", "flux_error": "e_Si"},
            **{"major": "MajAx|MajAxis:arcsec", "minor": "MinAx|MinAxis:arcsec"},
            **{"angle": "PA:deg", "limit": "l_MajAx|l_MajAxis"},
        },
        ("MajAx|MajAxis|VLSS|VLSSr",),
        0.0738,
    ),
    Dialect(
        "vlssr",
        {
            **_RA_DEC,
            **{"name": "name", "flux": "flux_74_mhz:mJy", "flux_error": "flux_74_mhz_error"},
            **{"major": "major_axis:arcsec", "minor": "minor_axis:arcsec"},
            **{"angle": "position_angle:deg", "limit": "limit_major_axis|major_axis_limit"},
        },
        (),
        0.0738,
    ),
    Dialect("vlssr", _AIPS, (), 0.0738, peak_beam_arcsec=75.0),
    # ASKAP's source finder: components and islands (text, VOTable, CASDA's CSV).
    Dialect(
        "selavy",
        {
            "name": "component_name|col_component_name|island_name|col_island_name",
            "ra": "ra_deg_cont|col_ra_deg_cont:deg",
            "dec": "dec_deg_cont|col_dec_deg_cont:deg",
            "flux": "flux_int|col_flux_int:mJy",
            "flux_error": "flux_int_err|col_flux_int_err",
            "frequency": "freq|col_freq:MHz",
            "spectral_index": "spectral_index|col_spectral_index",
            "major": "maj_axis|col_maj_axis:arcsec",
            "minor": "min_axis|col_min_axis:arcsec",
            "angle": "pos_ang|col_pos_ang:deg",
        },
    ),
    # Hancock et al. 2018, PASA 35, e011: AegeanTools' components.
    Dialect(
        "aegean",
        {
            **{"ra": "ra:deg", "dec": "dec:deg", "flux": "int_flux:Jy"},
            **{"flux_error": "err_int_flux", "major": "a:arcsec", "minor": "b:arcsec"},
            **{"angle": "pa:deg"},
        },
        ("peak_flux", "a", "b"),
    ),
    # Mohan & Rafferty 2015: lists of sources and of Gaussians.
    Dialect(
        "pybdsf",
        {
            **_RA_DEC,
            **{"flux": "Total_flux:Jy", "flux_error": "E_Total_flux", "major": "Maj:deg"},
            **{"minor": "Min:deg", "angle": "PA:deg"},
        },
        ("Peak_flux", "Maj", "Min", "E_Total_flux"),
    ),
)

NAMES = tuple(dict.fromkeys(d.name for d in DIALECTS))


def dialect_of(table: Table, wanted: str = "auto", hint: str = "") -> Dialect | None:
    """Return the dialect that matches a table's columns; None if none does.

    The marks of a dialect that is `wanted` by name are not required; ``auto`` is any. `hint` holds
    the names of the catalogue and of the file: a dialect named there is tried first and, where no
    other matches, is accepted without its marks too.

    Raises
    ------
    CatalogueError
        If no dialect of this name is known, or the columns match several surveys and neither
        the file's name nor `wanted` decides between them.
    """
    if wanted != "auto" and wanted not in NAMES:
        raise CatalogueError(f"no survey {wanted!r} is known; known: auto, {', '.join(NAMES)}")
    if wanted != "auto":
        own = [d for d in DIALECTS if d.name == wanted and d.fits(table, marks=False)]
        return own[0] if own else None
    told = hint.casefold().replace("_", "-")
    hinted = [
        d
        for d in sorted(DIALECTS, key=lambda d: -len(d.name))
        if d.name != "list" and d.name.removesuffix("r") in told and d.fits(table, marks=False)
    ]
    found = next((d for d in (*hinted, *DIALECTS) if d.fits(table)), None)
    if found is None or found in hinted:
        return found or next(iter(hinted), None)
    same = [d for d in DIALECTS if d.columns == found.columns]
    if len(same) == 1:
        return found
    raise CatalogueError(
        f"its columns are those of {' and '.join(d.name for d in same)} alike: "
        f"choose with --survey {same[0].name} or --survey {same[1].name}"
    )


def described(table: Table, wanted: str) -> str:
    """Return a phrase with the columns that a wanted dialect needs and this table lacks."""
    own = [d for d in DIALECTS if d.name == wanted]
    if not own:
        return ""
    needs = "; or ".join(
        ", ".join(
            d.columns[r].partition(":")[0].replace("|", " or ") for r in ("ra", "dec", "flux")
        )
        for d in own
    )
    return f"{wanted} has the columns {needs}; {table.shown_names()}"
