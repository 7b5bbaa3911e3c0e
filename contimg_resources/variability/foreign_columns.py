"""The roles of the columns of a table with light curves.

Belongs here: names, UCDs and units of columns, and the columns that the user specified. Doesn't:
values (see `foreign`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import Column, Table
from contimg_resources.variability.foreign_times import is_stated, time_meaning

#: Roles of columns, for ``--column ROLE=NAME[:UNIT]``.
ROLES = ("source", "time", "flux", "error", "ra", "dec", "frequency", "flag", "good", "limit")

_NAMES = {
    "source": (
        *("source_id", "source_name", "source", "sourceid", "sourcename", "object", "object_name"),
        *("objname", "obj_name", "object_id", "objid", "target", "target_name", "name", "src"),
        *("srcname", "src_name", "id", "star_id"),
    ),
    "flux": (
        *("flux", "flux_density", "fluxdensity", "s", "f", "total_flux", "flux_total", "int_flux"),
        *("flux_int", "integrated_flux", "peak_flux", "flux_peak", "sint", "speak", "stot", "fnu"),
        *("flux_mean", "mean_flux", "stokes_i", "i_flux", "flux_i", "s_i"),
    ),
    "error": (
        *("error", "err", "e", "sigma", "sig", "unc", "uncertainty", "flux_error", "flux_err"),
        *("fluxerr", "fluxerror", "error_flux", "err_flux", "e_flux", "eflux", "dflux", "d_flux"),
        *("flux_unc", "flux_uncertainty", "unc_flux", "sigma_flux", "flux_sigma", "e_s", "es"),
        *("s_err", "s_error", "serr", "err_s", "ds", "sigma_s", "flux_density_error"),
        *("flux_density_err", "local_rms", "rms", "noise", "std", "+/_", "±", "+_"),
    ),
    "ra": ("ra", "ra_deg", "raj2000", "ra_icrs", "_raj2000", "ra_j2000", "radeg", "alpha"),
    "dec": ("dec", "dec_deg", "dej2000", "de_icrs", "_dej2000", "dec_j2000", "decdeg", "delta"),
    "frequency": (
        *("frequency", "freq", "nu", "band", "obs_freq", "frequency_band", "ref_freq", "receiver"),
        *("wavelength", "lambda"),
    ),
    "flag": (
        *("flag", "flags", "flagged", "is_flagged", "bad", "is_bad", "rejected", "outlier"),
        *("is_outlier", "flux_flag", "data_flag", "flag_flux"),
    ),
    "good": ("good", "is_good", "ok", "is_ok", "valid", "is_valid", "use", "used"),
    "limit": (
        *("limit", "upper_limit", "upperlimit", "is_limit", "is_upper_limit", "ul", "limit_flag"),
        *("l_flux", "l_s", "flux_limit", "uplim", "upper_limit_flag"),
    ),
}
_UCDS: dict[str, tuple[str, ...]] = {
    "source": ("meta.id", "meta.main"),
    "flux": ("phot.flux.density",),
    "error": ("stat.error", "phot.flux.density"),
    "ra": ("pos.eq.ra",),
    "dec": ("pos.eq.dec",),
    "frequency": ("em.freq",),
    "limit": ("meta.code.error", "phot.flux.density"),
}
#: A unit of flux density at the end of a column's name: flux_mJy, S (Jy), e_flux[uJy].
_SUFFIX = re.compile(
    r"(?P<base>.+?)\s*(?:_|\s|-|\.|(?P<open>[(\[]))\s*"
    r"(?P<unit>n|u|µ|μ|m|milli|micro)?(?P<jy>jy|jansky|janskys)"
    r"(?:[/_ ]?(?:beam|bm))?(?(open)[)\]]|)",
    re.IGNORECASE,
)
#: A unit of frequency or wavelength at the end of a column's name.
FREQUENCY_SUFFIX = re.compile(
    r"(?P<base>.+?)[_\s.(\[-]+(?P<unit>[kmg]?hz|cm|mm)[)\]]?", re.IGNORECASE
)
_PREFIXES = {"n": "n", "u": "u", "µ": "u", "μ": "u", "m": "m", "milli": "m", "micro": "u"}
_BAND_OF_FLUX = re.compile(r"(?:s|f|flux)_?\d+(?:\.\d+)?_?(?:ghz|mhz)?", re.IGNORECASE)


@dataclass(frozen=True)
class GivenColumn:
    """A column that the user specified."""

    name: str  #: The column; empty if no column has this role, whatever the columns are called.
    #: Its unit, or for times the format and optionally the scale; empty if not specified.
    unit: str = ""


class ColumnChoice:
    """The columns of a table by role, chosen one after the other.

    `given` holds columns that the user specified, by role (see `ROLES`).
    """

    def __init__(self, table: Table, given: Mapping[str, GivenColumn]) -> None:
        self.table, self.given = table, dict(given)
        self.used: dict[str, str] = {}
        """Names of the chosen columns, by role."""

    def unit(self, role: str) -> str:
        """Return the unit that the user specified for a role; empty if there is none."""
        return self.given[role].unit if role in self.given else ""

    def missing(self, role: str, what: str, example: str) -> TableError:
        """Return the error for an unknown column, with the option that names it."""
        return TableError(
            f"the column with {what} is not known ({self.table.shown_names()}); name it: "
            f"--column {role}={example}"
        )

    def _ambiguous(self, role: str, columns: Sequence[Column]) -> TableError:
        return TableError(
            f"several columns may be the {role}: {', '.join(c.name for c in columns)}; name one: "
            f"--column '{role}={columns[0].name}'"
        )

    def column(self, role: str) -> Column | None:
        """Return the column of a role: specified, by its UCD, or by its name; None if none fits.

        Raises
        ------
        TableError
            If a specified column doesn't exist, or several fit equally well.
        """
        if role in self.given and not self.given[role].name:
            return None
        if role in self.given:
            found: Column | None = self.table.get(self.given[role].name)
        else:
            found = self._by_ucd(role) or self._by_name(role)
        if found is not None:
            self.used[role] = found.name
        return found

    def _by_ucd(self, role: str) -> Column | None:
        without = () if role == "error" else ("stat.error", "stat.stdev", "arith.ratio")
        found = [
            c
            for c in (self.table.with_ucd(*_UCDS[role], without=without) if role in _UCDS else ())
            if c.name not in self.used.values()
        ]
        if len(found) > 1:
            main = [c for c in found if "meta.main" in c.ucd]
            named = [c for c in found if base_name(c.name) in _NAMES[role]]
            found = next((f for f in (main, named) if len(f) == 1), found)
        if len(found) > 1:
            raise self._ambiguous(role, found)
        return found[0] if found else None

    def _by_name(self, role: str) -> Column | None:
        free = [c for c in self.table.columns if c.name not in self.used.values()]
        for exact in (True, False):
            for name in _NAMES[role]:
                fits = [
                    c
                    for c in free
                    if (c.name if exact else c.name.casefold()) == name
                    or (not exact and base_name(c.name) == name)
                ]
                if len(fits) > 1:
                    raise self._ambiguous(role, fits)
                if fits:
                    return fits[0]
        if role == "flux":
            fits = [c for c in free if _BAND_OF_FLUX.fullmatch(base_name(c.name))]
            if len(fits) > 1:
                raise self._ambiguous(role, fits)
            return fits[0] if fits else None
        return None

    def time_column(self) -> Column:
        """Return the column of times: specified, stated in the table, or by its name.

        Raises
        ------
        TableError
            If no column fits, or several fit equally well.
        """
        if "time" in self.given:
            found = self.table.get(self.given["time"].name)
        else:
            by_ucd = {c.name for c in self.table.with_ucd("time.epoch", without=("stat.error",))}
            ranked = []
            for c in self.table.columns:
                meaning = time_meaning(c.name)
                stated = is_stated(self.table, c)
                if meaning is not None or stated or c.name in by_ucd:
                    rank = 9 if meaning is None else meaning.rank
                    ranked.append((rank if not stated else min(rank, 1), c))
            if not ranked:
                raise self.missing("time", "the time", "t:mjd")
            best = [c for rank, c in ranked if rank == min(r for r, _ in ranked)]
            if len(best) > 1:
                raise self._ambiguous("time", best)
            (found,) = best
        self.used["time"] = found.name
        return found

    def error_column(self, flux: Column) -> Column | None:
        """Return the column of errors: specified, named after the flux density, or any."""
        if "error" in self.given:
            return self.column("error")
        # The error of this flux density has priority: a table may hold several.
        names = {
            pattern.format(stem.casefold())
            for stem in (flux.name, base_name(flux.name))
            for pattern in (
                *("e_{}", "{}_err", "{}_error", "err_{}", "error_{}", "{}err", "d{}", "d_{}"),
                *("sigma_{}", "{}_sigma", "{}_unc", "unc_{}", "{}_e", "{}error", "{}_uncertainty"),
                *("e{}", "{}_std", "{}_rms", "{} error", "{} err"),
            )
        }
        fits = [
            c
            for c in self.table.columns
            if c.name != flux.name and {c.name.casefold(), base_name(c.name)} & names
        ]
        if len(fits) > 1:
            raise self._ambiguous("error", fits)
        if fits:
            self.used["error"] = fits[0].name
            return fits[0]
        return self.column("error")


def base_name(name: str) -> str:
    """Return a column's name in lower case, blanks as ``_``, without a unit at its end."""
    plain = name.strip().casefold()
    found = _SUFFIX.fullmatch(plain) or FREQUENCY_SUFFIX.fullmatch(plain)
    return re.sub(r"[\s-]+", "_", (found["base"] if found else plain).strip())


def suffix_unit(name: str) -> str:
    """Return the unit of flux density at the end of a column's name; empty if there is none."""
    found = _SUFFIX.fullmatch(name.strip())
    if found is None:
        return ""
    prefix = found["unit"] or ""
    # MJy would be a megajansky, which doesn't occur in the column names of light curves.
    return _PREFIXES.get(prefix.casefold(), "") + "Jy"
