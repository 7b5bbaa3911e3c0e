"""Catalogues, lists of calibrators and light curves of others, damaged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from contimg_resources.catalogues.calibrator_lists import read_calibrator_list
from contimg_resources.catalogues.columns import ROLES, Given
from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.catalogues.vla_calibrators import is_vla_list, vla_calibrators
from contimg_resources.core.errors import CatalogueError, ConfigurationError, TableError
from contimg_resources.tables.reading import read_table
from contimg_resources.variability.added import as_light_curves
from contimg_resources.variability.foreign import read_rows
from contimg_resources.variability.foreign_columns import ROLES as LIGHT_CURVE_ROLES
from contimg_resources.variability.foreign_columns import GivenColumn
from tests.fuzz import table_seeds
from tests.fuzz.mangling import WORD, fuzzed, mangled, only_ours

#: Names of columns in the seeds, and units: right and wrong.
COLUMNS = st.sampled_from(("ra", "dec", "flux", "name", "mjd", "RAJ2000", "S1.4", "e_flux", "date"))
UNITS = st.sampled_from(("", "deg", "mJy", "h:m:s", "GHz", "jd", "mjd:tai", "iso", "K")) | WORD


def files(seeds: Mapping[str, bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return a strategy of damaged tables, some packed afterwards."""

    def packed(file: tuple[str, bytes], packer: str) -> tuple[str, bytes]:
        name, content = file
        return (f"{name}.{packer}", table_seeds.PACKERS[packer](content)) if packer else file

    return st.builds(packed, mangled(seeds), st.sampled_from(("", "", "", "", "gz", "bz2", "xz")))


CATALOGUES = st.deferred(lambda: files(table_seeds.catalogues()))
LIGHT_CURVES = st.deferred(lambda: files(table_seeds.light_curves()))
File = tuple[str, bytes]
TABLE_NAMES = st.sampled_from(("", "", "1", "2", "t")) | WORD


def written(directory: Path, file: File) -> Path:
    path = directory / file[0]
    path.write_bytes(file[1])
    return path


@fuzzed(60)
@given(CATALOGUES | LIGHT_CURVES, TABLE_NAMES)
@example(("units.ecsv", b"# %ECSV 1.0\n# ---\n# datatype:\n# -"), "")
def test_a_table_is_read_whole_or_refused(tmp_path: Path, file: File, table: str) -> None:
    path = written(tmp_path, file)
    with only_ours(path, ours=TableError):
        found = read_table(path, table=table)
        assert found.n_rows > 0
        for column in found.columns:
            assert len(column) == found.n_rows
            with only_ours(ours=TableError):
                assert len(column.text()) == found.n_rows
            with only_ours(ours=TableError):
                assert len(column.numbers()) == found.n_rows


def given_columns() -> st.SearchStrategy[Given]:
    return st.builds(
        Given,
        st.dictionaries(st.sampled_from(sorted(ROLES)), st.tuples(COLUMNS, UNITS), max_size=2),
        st.none() | st.floats(0.01, 100),
        st.sampled_from(("", "", "B1950", "galactic", "ecliptic")) | WORD,
        TABLE_NAMES,
    )


@fuzzed(60)
@given(CATALOGUES, st.just(Given()) | given_columns())
def test_a_catalogue_is_sources_on_the_sky_or_refused(
    tmp_path: Path, file: File, columns: Given
) -> None:
    path = written(tmp_path, file)
    with only_ours(path, ours=CatalogueError):
        sources = read_catalogue(path, "c", given=columns).sources
        assert ((sources.ra_deg >= 0) & (sources.ra_deg <= 360)).all()
        assert (np.abs(sources.dec_deg) <= 90).all()
        assert (sources.flux_jy > 0).all()
        assert np.isfinite(sources.flux_jy).all()
        assert ((sources.reference_ghz > 0) & np.isfinite(sources.reference_ghz)).all()
        assert len(set(sources.source_id.tolist())) == len(sources.source_id)


@fuzzed(60)
@given(CATALOGUES, st.just(None) | given_columns(), st.none() | st.just(-0.7))
def test_a_list_of_calibrators_is_right_or_refused(
    tmp_path: Path, file: File, columns: Given | None, index: float | None
) -> None:
    path = written(tmp_path, file)
    with only_ours(path, ours=ConfigurationError):
        for source in read_calibrator_list(path, columns, assumed_spectral_index=index):
            assert source.name.strip()
            assert 0 <= source.ra_deg <= 360
            assert abs(source.dec_deg) <= 90
            assert 0 < source.model.flux_jy(np.array([1.4e9]))[0] < np.inf


VLA = st.deferred(lambda: files({"vla.txt": table_seeds.catalogues()["vla.txt"]}))


@fuzzed(60)
@given(VLA | CATALOGUES, st.sampled_from("ABCD"))
@example(("damaged.gz", b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 40), "A")
def test_the_list_of_the_vla_is_right_or_refused(
    tmp_path: Path, file: File, configuration: str
) -> None:
    path = written(tmp_path, file)
    is_vla_list(path)
    with only_ours(path, ours=CatalogueError):
        found = vla_calibrators(path, configuration=configuration)
        for source in found.calibrators:
            assert source.name.strip()
            assert 0 <= source.ra_deg <= 360
            assert abs(source.dec_deg) <= 90
        assert all(reason.strip() for reason in found.refused.values())


@fuzzed(60)
@given(
    LIGHT_CURVES,
    st.dictionaries(
        st.sampled_from(sorted(LIGHT_CURVE_ROLES)),
        st.builds(GivenColumn, COLUMNS, UNITS),
        max_size=2,
    ),
    st.sampled_from(("", "", "5%", "2mJy")) | WORD,
    TABLE_NAMES,
)
def test_light_curves_are_measurements_or_refused(
    tmp_path: Path, file: File, columns: dict[str, GivenColumn], error: str, table: str
) -> None:
    path = written(tmp_path, file)
    with only_ours(path, ours=TableError):
        rows = read_rows(path, columns, error=error, table=table)
        assert len(rows.mjd) > 0
        assert ((rows.mjd >= 36_934) & (rows.mjd <= 88_069)).all()
        assert np.isfinite(rows.flux_jy).all()
        assert (rows.error_jy > 0).all()
        assert rows.n_rows == len(rows.mjd) + sum(r.n for r in rows.rejected)
        curves, _ = as_light_curves("list", [rows])
        assert len(curves.mid_mjd) <= len(rows.mjd)
