"""Light curves, metrics, cards, cutouts and exports are rows of the products store like images."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from contimg_resources import __version__
from contimg_resources.cli.main import run
from contimg_resources.core.errors import ProductsError
from contimg_resources.cutouts.places import directory_name
from contimg_resources.photometry.found import FORMAT as FOUND_FORMAT
from contimg_resources.photometry.found import FoundFiles
from contimg_resources.photometry.spectral_indices import FORMAT, spectra_path
from contimg_resources.photometry.subbands import band_path
from contimg_resources.products.derived import DerivedKind, DerivedProducts, InputKind, Product
from contimg_resources.products.dips import FittedDip
from contimg_resources.products.epochs import EpochKind, EpochRecord
from contimg_resources.products.events import CandidateRecord, CandidateState, Mark, MarkRecord
from contimg_resources.products.model import Artefact, ArtefactKind
from contimg_resources.settings import CutoutSettings
from contimg_resources.steps.added_light_curves import add_light_curves, remove_light_curves
from contimg_resources.steps.cards import draw_candidate
from contimg_resources.steps.cutouts import animate_source, cut_many, cut_source, stack_source
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.recording import finished
from contimg_resources.steps.staleness import stale_products
from contimg_resources.steps.variability import changed_days, measure_day, update_light_curves
from contimg_resources.steps.verifying import unrecorded_files, verify_products
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import read_points
from tests.cutouts.mosaics import MID_MJD
from tests.cutouts.night import add_mosaic, make_workshop
from tests.steps.conftest import Made

DAY = int(MID_MJD)
SOURCE = "s0"
#: At the source's transit.
AT_TRANSIT = 0.38
MOSAIC = f"{MID_MJD + AT_TRANSIT:.5f}+54.0"

#: One product of each kind, and an input of it.
PRODUCTS = {
    DerivedKind.LIGHT_CURVES: (str(DAY), InputKind.MEASUREMENTS),
    DerivedKind.VARIABILITY: (str(DAY), DerivedKind.LIGHT_CURVES),
    DerivedKind.ADDED_LIGHT_CURVES: ("mine", InputKind.FILE),
    DerivedKind.ADDED_VARIABILITY: ("mine", DerivedKind.ADDED_LIGHT_CURVES),
    DerivedKind.CANDIDATE: ("ese-1", DerivedKind.CUTOUT),
    DerivedKind.CUTOUT: (f"{directory_name(SOURCE)}/{MOSAIC}", InputKind.MOSAIC),
    DerivedKind.CUTOUT_STACK: (directory_name(SOURCE), DerivedKind.CUTOUT),
    DerivedKind.CUTOUT_ANIMATION: (directory_name(SOURCE), DerivedKind.CUTOUT),
    DerivedKind.SPECTRA: (MOSAIC, InputKind.MOSAIC),
    DerivedKind.FOUND_SOURCES: (MOSAIC, InputKind.MOSAIC),
    DerivedKind.EXPORT: ("index.json", DerivedKind.CANDIDATE),
}


@dataclass
class Season:
    """A state directory with products of every kind."""

    workshop: Workshop
    list_file: Path

    @property
    def rows(self) -> DerivedProducts:
        return self.workshop.products.derived

    def product(self, kind: str) -> Product:
        found = self.rows.get(kind, PRODUCTS[DerivedKind(kind)][0])
        assert found is not None
        return found

    def make_again(self, kind: str, key: str) -> None:
        """Record an input with other content."""
        store = self.workshop.products.mosaics
        if kind == InputKind.FILE:
            self.list_file.write_text(self.list_file.read_text() + "58300,0.3,0.01\n")
        elif kind == InputKind.MOSAIC:
            store.put(replace(store.get(key), checksum="sha256:other"))
        elif kind == InputKind.MEASUREMENTS:
            epoch = store.find_epoch(key, EpochKind.MOSAIC)
            assert epoch is not None
            store.put_epoch(replace(epoch, checksum="sha256:other"))
        else:
            known = self.rows.get(kind, key)
            assert known is not None
            self.rows.put([replace(known, checksum="sha256:other")])

    def why_stale(self, kind: str) -> str:
        return provenance_of(self.workshop, self.product(kind).path).why_stale


def put_epoch(workshop: Workshop, key: str, *, ok: bool = True) -> None:
    path = workshop.settings.layout.photometry / "mosaic" / str(DAY) / f"{key}.parquet"
    workshop.products.mosaics.put_epoch(
        EpochRecord(
            epoch=key,
            kind=EpochKind.MOSAIC,
            mid_mjd=float(key[:11]),
            measured_from=workshop.products.mosaics.get(key).checksum,
            catalogue="made up",
            path=path,
            checksum="sha256:measured",
            size_bytes=path.stat().st_size,
            n_sources=1,
            n_measured=1,
            epoch_ok=ok,
        )
    )


def put_spectra(workshop: Workshop) -> None:
    root = workshop.settings.layout.photometry
    path, band = spectra_path(root, DAY, MOSAIC), band_path(root, "1335MHz", DAY, MOSAIC)
    FORMAT.write(path, FORMAT.no_rows(), {})
    band.parent.mkdir(parents=True)
    band.write_bytes(b"flux densities in a sub-band")
    inputs = {str(InputKind.MOSAIC): {MOSAIC: workshop.products.mosaics.get(MOSAIC).checksum}}
    made = finished(
        DerivedKind.SPECTRA, MOSAIC, path, inputs=inputs, parameters={}, companions=[band]
    )
    workshop.products.derived.put([made])


def put_found(workshop: Workshop) -> None:
    files = FoundFiles.of(workshop.settings.layout.photometry, MOSAIC)
    FOUND_FORMAT.write(files.table, FOUND_FORMAT.no_rows(), {})
    files.votable.write_bytes(b"the same as VOTable")
    inputs = {str(InputKind.MOSAIC): {MOSAIC: workshop.products.mosaics.get(MOSAIC).checksum}}
    made = finished(
        DerivedKind.FOUND_SOURCES,
        MOSAIC,
        files.table,
        inputs=inputs,
        parameters={},
        companions=[files.votable],
    )
    workshop.products.derived.put([made])


def candidate() -> CandidateRecord:
    return CandidateRecord(
        id="ese-1",
        source_id=SOURCE,
        ra_deg=180.0,
        dec_deg=54.0,
        state=CandidateState.COMPLETE,
        start_mjd=DAY - 10.0,
        mid_mjd=float(DAY),
        end_mjd=DAY + 10.0,
        score=99.0,
        parameters=FittedDip(
            depth=0.4,
            depth_error=0.02,
            width_days=20.0,
            width_error_days=2.0,
            mid_error_days=1.0,
            threshold=12.0,
            template="fiedler",
            template_mjd=(DAY - 10.0, DAY + 10.0),
            template_jy=(0.1, 0.1),
        ),
        searched_day=DAY,
        run_id="r5",
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a state directory with products of every kind."""
    root = tmp_path_factory.mktemp("whole")
    workshop = make_workshop(root)
    key = add_mosaic(workshop, AT_TRANSIT)
    put_epoch(workshop, key)
    update_light_curves(workshop, DAY, run_id="r1")
    measure_day(workshop, DAY, run_id="r2")
    list_file = workshop.settings.state / "mine.csv"
    list_file.write_text("mjd,flux_jy,e_flux_jy\n58000,0.3,0.01\n58100,0.3,0.01\n58200,0.3,0.01\n")
    add_light_curves(workshop, "mine", [list_file])
    cut_source(workshop, SOURCE)
    stack_source(workshop, SOURCE)
    animate_source(workshop, SOURCE)
    put_spectra(workshop)
    put_found(workshop)
    workshop.products.events.put_candidates([candidate()])
    draw_candidate(workshop, candidate(), read_points(workshop.settings.layout.light_curves))
    export_dashboard(workshop, run_id="r6")
    workshop.products.close()
    workshop.registry.close()
    return workshop.settings.state


@pytest.fixture
def season(whole: Path, tmp_path: Path) -> Season:
    # Records move with the state directory.
    shutil.copytree(whole, tmp_path / "state")
    return Season(make_workshop(tmp_path), tmp_path / "state" / "mine.csv")


def problems(season: Season) -> list[tuple[str, str, Path, str]]:
    # The measurements' own checksums are made up.
    found = verify_products(season.workshop).problems
    kinds = set(DerivedKind)
    return [(p.kind, p.key, p.path, p.problem) for p in found if p.kind in kinds]


def test_every_kind_is_recorded_and_nothing_is_left_over(season: Season) -> None:
    assert {kind for kind, _, _ in season.rows.files()} == set(DerivedKind) == set(PRODUCTS)
    assert problems(season) == []
    assert unrecorded_files(season.workshop) == {}
    assert stale_products(season.workshop) == ()


@pytest.mark.parametrize("kind", DerivedKind)
def test_a_spoiled_and_a_missing_file_are_found(season: Season, kind: DerivedKind) -> None:
    product = season.product(kind)
    for file in product.files:
        before = file.path.read_bytes()
        file.path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        told = (kind, product.key, file.path)
        assert problems(season) == [(*told, "differs in content from its record")]
        assert run(["why", str(file.path), "--state", str(season.workshop.settings.state)]) == 1
        file.path.unlink()
        assert problems(season) == [(*told, "is gone")]
        file.path.write_bytes(before)
    assert problems(season) == []


@pytest.mark.parametrize("kind", DerivedKind)
def test_why_names_inputs_and_software(season: Season, kind: DerivedKind, capsys: Any) -> None:
    product = season.product(kind)
    of_kind, made_from = PRODUCTS[kind][1], provenance_of(season.workshop, product.path).made_from
    if of_kind == InputKind.FILE:
        assert made_from == (season.list_file,)
    elif of_kind in set(DerivedKind):
        assert season.product(of_kind).path in made_from
    for file in product.files:
        assert run(["why", str(file.path), "--state", str(season.workshop.settings.state)]) == 0
        out = capsys.readouterr().out
        assert f"software: contimg {__version__}" in out
        assert f"content: {product.checksum}" in out
        assert all(f"made from: {path}" in out for path in made_from[-6:])
        assert "STALE" not in out


@pytest.mark.parametrize("kind", DerivedKind)
def test_a_product_is_stale_when_an_input_was_made_again(season: Season, kind: DerivedKind) -> None:
    of_kind = PRODUCTS[kind][1]
    ((key, _),) = season.product(kind).inputs[of_kind].items()
    assert season.why_stale(kind) == ""
    season.make_again(of_kind, key)
    changed = f"{key} changed since" if of_kind == InputKind.FILE else f"{of_kind} {key} was made"
    assert season.why_stale(kind).startswith(changed)
    assert (kind, PRODUCTS[kind][0]) in {(s.kind, s.key) for s in stale_products(season.workshop)}
    if of_kind in set(DerivedKind):
        season.rows.forget([(of_kind, key)])
        assert season.why_stale(kind) == f"{of_kind} {key} is gone"


def test_what_was_made_from_something_stale_is_stale(season: Season, capsys: Any) -> None:
    season.make_again(InputKind.MOSAIC, MOSAIC)
    cutout = season.product(DerivedKind.CUTOUT)
    why = f"cutout {cutout.key} is stale: mosaic {MOSAIC} was made again"
    assert season.why_stale(DerivedKind.CUTOUT_STACK) == why
    # The measurements are of the old mosaic, too.
    assert season.why_stale(DerivedKind.VARIABILITY) == (
        f"light_curves {DAY} is stale: measurements {MOSAIC} is stale: "
        f"mosaic {MOSAIC} was made again"
    )
    assert run(["status", "--stale", "--state", str(season.workshop.settings.state)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"cutout: 1 stale, first {cutout.key}: mosaic {MOSAIC} was made again" in told


def test_another_caltable_set_makes_everything_after_the_image_stale(made: Made) -> None:
    workshop, keys = made.workshop, made.keys[:2]
    tiles = {}
    for key in keys:
        (image,) = [a for a in workshop.products.artefacts(key) if a.kind == ArtefactKind.IMAGE]
        pbcor: Artefact = replace(image, kind=ArtefactKind.IMAGE_PBCOR)
        workshop.products.put_artefacts(key, [pbcor])
        tiles[key] = image.checksum
    mosaic = add_mosaic(workshop, AT_TRANSIT)
    store = workshop.products.mosaics
    store.put(replace(store.get(mosaic), tiles=tiles))
    put_epoch(workshop, mosaic)
    update_light_curves(workshop, DAY)
    path = workshop.settings.layout.light_curves / f"{DAY}.parquet"
    assert provenance_of(workshop, path).why_stale == ""
    workshop.registry.retire("first", "bad")
    assert provenance_of(workshop, path).why_stale == (
        f"measurements {mosaic} is stale: mosaic {mosaic} is stale: "
        f"image_pbcor {keys[0]} is stale: first v1 was retired: bad"
    )
    # An image that was removed by age makes nothing stale.
    gone = replace(store.get(mosaic), tiles={"61000.10000": "sha256:1"})
    store.put(gone)
    assert provenance_of(workshop, path).why_stale == ""
    found = provenance_of(workshop, gone.directory / "x" / ".." / "y.png")
    assert (found.kind, found.made_from) == ("mosaic", ())


def test_old_cutouts_go_with_their_records(season: Season) -> None:
    layout = season.workshop.settings.layout
    small = season.workshop.settings.model_copy(
        update={"cutouts": CutoutSettings(size_arcmin=4.0, max_gb=1e-9)}
    )
    cut = cut_many(replace(season.workshop, settings=small), [SOURCE])
    assert len(cut.removed) == 5, "a cutout, the stack with its picture, the animation"
    assert not list(layout.cutouts.rglob("*"))
    kinds = {kind for kind, _, _ in season.rows.files()}
    assert kinds.isdisjoint(
        {DerivedKind.CUTOUT, DerivedKind.CUTOUT_STACK, DerivedKind.CUTOUT_ANIMATION}
    )
    assert problems(season) == []


def test_a_removed_list_and_a_day_that_turned_bad_lose_file_and_record(season: Season) -> None:
    remove_light_curves(season.workshop, "mine")
    (measured,) = season.workshop.settings.layout.photometry.glob("mosaic/*/*.parquet")
    measured.unlink()
    assert update_light_curves(season.workshop, DAY).path is None
    kinds = {kind for kind, _, _ in season.rows.files()}
    assert kinds.isdisjoint(
        {
            DerivedKind.ADDED_LIGHT_CURVES,
            DerivedKind.ADDED_VARIABILITY,
            DerivedKind.LIGHT_CURVES,
        }
    )
    assert problems(season) == []
    assert unrecorded_files(season.workshop) == {}


def test_a_retry_replaces_the_record(season: Season) -> None:
    before = {(kind, key, file.path) for kind, key, file in season.rows.files()}
    update_light_curves(season.workshop, DAY)
    measure_day(season.workshop, DAY)
    cut_source(season.workshop, SOURCE)
    draw_candidate(
        season.workshop, candidate(), read_points(season.workshop.settings.layout.light_curves)
    )
    export_dashboard(season.workshop)
    after = {(kind, key, file.path) for kind, key, file in season.rows.files()}
    # A new card is a new picture of the export.
    assert {f for f in after if f[0] != "export"} == {f for f in before if f[0] != "export"}
    assert problems(season) == []


def test_files_of_an_earlier_release_are_no_damage_and_are_recorded_when_made_again(
    season: Season, capsys: Any
) -> None:
    rows = season.rows
    rows.forget({(kind, key) for kind, key, _ in rows.files()})
    options = ["--state", str(season.workshop.settings.state)]
    assert problems(season) == []
    found = unrecorded_files(season.workshop)
    assert set(found) == set(DerivedKind) - {DerivedKind.EXPORT}
    assert {kind: len(paths) for kind, paths in found.items() if len(paths) > 1} == {
        DerivedKind.VARIABILITY: 4,
        DerivedKind.ADDED_VARIABILITY: 2,
        DerivedKind.CANDIDATE: 4,
        DerivedKind.CUTOUT: 2,
        DerivedKind.CUTOUT_STACK: 2,
        DerivedKind.FOUND_SOURCES: 2,
    }
    (cutout, _) = found[DerivedKind.CUTOUT]
    run(["verify", *options])
    assert "2 files of cutout have no record" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ProductsError, match="`contimg cutout SOURCE` records it"):
        provenance_of(season.workshop, cutout)
    # What is up to date is recorded without being made again.
    assert cut_source(season.workshop, SOURCE).made == ()
    assert provenance_of(season.workshop, cutout).product is not None
    assert changed_days(season.workshop) == (DAY,)
    update_light_curves(season.workshop, DAY)
    assert changed_days(season.workshop) == ()


def test_a_step_that_is_killed_before_it_records_leaves_no_record_of_another_file(
    season: Season, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DerivedProducts, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            update_light_curves(season.workshop, DAY)
    assert problems(season) == []
    (path,) = unrecorded_files(season.workshop)[DerivedKind.LIGHT_CURVES]
    assert path.is_file()
    assert changed_days(season.workshop) == (DAY,)


def test_marks_of_a_candidate_are_as_they_are_now(season: Season) -> None:
    card = season.product(DerivedKind.CANDIDATE)
    assert card.run_id == "r5"
    assert card.parameters["source"] == SOURCE
    season.workshop.products.events.put_mark(MarkRecord("ese-1", Mark.REAL, "", "ada"))
    events = season.workshop.products.events
    events.put_candidates([replace(candidate(), state=CandidateState.WITHDRAWN)])
    found = provenance_of(season.workshop, card.path).marks
    assert found == {"state": "withdrawn", "marks": "real by ada"}


def test_an_export_for_somebody_else_is_no_product(season: Season, tmp_path: Path) -> None:
    before = season.product(DerivedKind.EXPORT)
    options = ["--state", str(season.workshop.settings.state)]
    assert run(["export", "--out", str(tmp_path / "mine"), *options]) == 0
    assert season.product(DerivedKind.EXPORT) == before
