"""How surveys and lists name their columns.

Belongs here: names, units and frequencies of columns as their publishers have them.
Doesn't: file formats (see `reading`).
"""

from collections.abc import Collection
from dataclasses import dataclass

from contimg_resources.errors import CatalogueError


@dataclass(frozen=True)
class Survey:
    """The columns of a survey.

    Parameters
    ----------
    name : str
        The survey, as the command line calls it.
    ra, dec : str
        Columns with the position, FK5 J2000 or ICRS (they differ by less than 0.03 arcsec): in
        degrees, or sexagesimal with hours.
    flux : str
        Column with the flux density.
    flux_unit : str
        Its unit where the file doesn't say.
    source : str
        Column with the source's name; empty: names are made from positions.
    flux_error : str
        Column with the uncertainty of the flux density, same unit; empty: unknown.
    major, minor, angle : str
        Columns with the size, arcsec, and position angle, degrees; empty: unknown.
    reference_ghz : float or None
        Frequency of the flux densities, GHz; None: in the column ``reference_ghz``.
    limit : str
        Column that holds ``<`` where the size is an upper limit; empty: none does.
    duplicate : str
        Column that is greater than 1 for what the survey lists a second time; empty: none.
    quality : str
        Column that is 0 for what the survey recommends; empty: none.
    """

    name: str
    ra: str
    dec: str
    flux: str
    flux_unit: str
    source: str = ""
    flux_error: str = ""
    major: str = ""
    minor: str = ""
    angle: str = ""
    reference_ghz: float | None = None
    limit: str = ""
    duplicate: str = ""
    quality: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns without which a table isn't of this survey."""
        own = () if self.reference_ghz else ("reference_ghz",)
        return (self.ra, self.dec, self.flux, *((self.source,) if self.source else ()), *own)


#: Known layouts; of one survey the first that fits is taken.
SURVEYS = (
    # Condon et al. 1998, AJ 115, 1693; VizieR VIII/65.
    Survey(
        *("nvss", "RAJ2000", "DEJ2000", "S1.4", "mJy", "NVSS", "e_S1.4"),
        *("MajAxis", "MinAxis", "PA", 1.4, "l_MajAxis"),
    ),
    # The same at HEASARC, table `nvss`.
    Survey(
        *("nvss", "ra", "dec", "flux_20_cm", "mJy", "name", "flux_20_cm_error"),
        *("major_axis", "minor_axis", "position_angle", 1.4, "limit_major_axis"),
    ),
    # A dump of it without names.
    Survey(
        *("nvss", "ra", "dec", "flux_20_cm", "mJy", "", "flux_20_cm_error"),
        *("major_axis", "minor_axis", "position_angle", 1.4, "limit_major_axis"),
    ),
    # RACS-low, Hale et al. 2021, PASA 38, e058: the table of sources at CASDA.
    Survey(
        *("racs", "RA", "Dec", "Total_flux_Source", "mJy", "Source_Name", "E_Total_flux_Source"),
        reference_ghz=0.8875,
    ),
    Survey(
        *("racs", "RA", "Dec", "Total_flux_Source", "mJy", "Source_ID", "E_Total_flux_Source"),
        reference_ghz=0.8875,
    ),
    # Helfand, White & Becker 2015, ApJ 801, 26; RMS is the error of a peak.
    Survey(
        *("first", "RA", "DEC", "FINT", "mJy", "", "RMS", "MAJOR", "MINOR", "POSANG", 1.4),
    ),
    # Quick look, CIRADA's table of components: Gordon et al. 2021, ApJS 255, 30.
    Survey(
        *("vlass", "RA", "DEC", "Total_flux", "mJy", "Component_name", "E_Total_flux"),
        *("DC_Maj", "DC_Min", "DC_PA", 3.0, "", "Duplicate_flag", "Quality_flag"),
    ),
    # A list of one's own; what `contimg simulate` and calibrator lists have.
    Survey(*("list", "ra_deg", "dec_deg", "flux_jy", "Jy", "name", "flux_error_jy")),
    Survey(*("list", "ra_deg", "dec_deg", "flux_jy", "Jy", "", "flux_error_jy")),
)

NAMES = tuple(dict.fromkeys(s.name for s in SURVEYS))


def survey_of(columns: Collection[str], wanted: str = "auto", origin: str = "") -> Survey:
    """Return the survey whose columns a table has.

    Parameters
    ----------
    columns : collection of str
        Names of the table's columns; upper and lower case are the same.
    wanted : str
        Name of a survey, or ``auto``.
    origin : str
        Where the table is from, for the message.

    Raises
    ------
    CatalogueError
        Listing what is there and what each survey needs, if none fits.
    """
    if wanted != "auto" and wanted not in NAMES:
        raise CatalogueError(f"no survey {wanted!r} is known; known: auto, {', '.join(NAMES)}")
    candidates = [s for s in SURVEYS if wanted in ("auto", s.name)]
    there = {c.lower() for c in columns}
    for survey in candidates:
        if all(column.lower() in there for column in survey.needs):
            return survey
    needed = "; ".join(f"{s.name}: {', '.join(s.needs)}" for s in candidates)
    raise CatalogueError(
        f"{origin or 'the table'} has the columns {', '.join(sorted(columns))}; needed are: "
        f"{needed}"
    )
