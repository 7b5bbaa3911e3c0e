import math
from dataclasses import asdict

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from contimg_resources.core.errors import VariabilityFailed
from contimg_resources.database import plain_json
from contimg_resources.database.values import known_values, read_json
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.products.store import ProductsStore
from contimg_resources.products.tables import candidates

DIP = FittedDip(
    depth=0.4,
    depth_error=0.1,
    width_days=20.0,
    width_error_days=1.0,
    mid_error_days=0.5,
    baseline_jy=0.05,
    baseline_error_jy=0.001,
    template="fiedler",
    threshold=12.5,
    reduced_chi2=1.1,
    n_in_dip=7,
    template_mjd=(61_000.0, 61_001.0),
    template_jy=(0.05, 0.03),
)
EVIDENCE = DipEvidence(
    neighbours=("a", "b"),
    separations_deg=(0.1, 0.2),
    neighbour_depth=0.01,
    neighbour_depth_error=0.02,
    over_walk=30.0,
    n_bands=2,
    band_depths=((1.3e9, 0.4, 0.01), (1.5e9, 0.3, 0.01)),
    spectral_change=1.9,
    spectral_change_error=0.3,
    spectral_note="one band is unreadable",
    added_list="mine",
    added_from="mine.csv",
)


def record(dip: FittedDip | None = None, evidence: DipEvidence | None = None) -> CandidateRecord:
    return CandidateRecord(
        id="ese-1",
        source_id="s",
        ra_deg=1.0,
        dec_deg=2.0,
        state=CandidateState.COMPLETE,
        start_mjd=61_000.0,
        mid_mjd=61_010.0,
        end_mjd=61_020.0,
        score=40.0,
        parameters=dip or FittedDip(),
        evidence=evidence or DipEvidence(),
    )


def test_stored_dips_and_evidence_are_read_as_they_were() -> None:
    # Their text: a number that isn't known isn't equal to itself.
    assert repr(read_json(FittedDip, plain_json(asdict(DIP)))) == repr(DIP)
    assert repr(read_json(DipEvidence, plain_json(asdict(EVIDENCE)))) == repr(EVIDENCE)


def test_what_an_earlier_release_did_not_store_is_unknown() -> None:
    dip = read_json(FittedDip, {"depth": 0.4, "depth_error": None, "of_another_release": [1]})
    assert dip.depth == 0.4
    assert math.isnan(dip.depth_error)
    assert (dip.template, dip.n_in_dip, dip.template_mjd) == ("", None, ())
    evidence = read_json(DipEvidence, {"neighbours": ["a"]})
    assert evidence.neighbours == ("a",)
    assert evidence.added_list is None
    assert math.isnan(evidence.over_walk)


def test_no_text_stands_in_for_a_number() -> None:
    dip = read_json(FittedDip, {"depth": "0.4", "width_days": True, "template": 3})
    assert math.isnan(dip.depth)
    assert math.isnan(dip.width_days)
    assert dip.template == ""


def test_only_known_numbers_and_words_are_listed() -> None:
    assert dict(known_values(FittedDip(depth=0.4, template="fiedler"))) == {
        "depth": 0.4,
        "template": "fiedler",
    }


def test_the_store_returns_a_candidate_as_it_was_recorded(store: ProductsStore) -> None:
    store.events.put_candidates([record(DIP, EVIDENCE)])
    (found,) = store.events.list_candidates()
    # A number that isn't known isn't equal to itself.
    told = (found.parameters, found.evidence, found.added_list)
    assert repr(told) == repr((DIP, EVIDENCE, "mine"))


def test_a_damaged_candidate_is_named(store: ProductsStore) -> None:
    store.events.put_candidates([record()])
    with store.write() as connection:
        connection.execute(sa.update(candidates).values(evidence={"neighbours": [3]}))
    with pytest.raises(VariabilityFailed, match="'ese-1' in the products store is damaged"):
        store.events.candidate("ese-1")
    with pytest.raises(ValidationError):
        read_json(DipEvidence, {"neighbours": [3]})
