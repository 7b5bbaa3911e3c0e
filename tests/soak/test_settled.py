"""The judge of the soak finds each condition that may fail, and nothing where all is well."""

from dataclasses import replace
from typing import Any

import pytest

from tests.soak.settled import (
    Delivery,
    Facts,
    Fate,
    Finding,
    Kind,
    Known,
    Message,
    Ran,
    Told,
    figure,
    judge,
)

KEY, CALIBRATOR, BAD = "61373.22621", "61373.20832", "61373.30000"
SET = f"3C48_{CALIBRATOR}.v1"
PRODUCTS = tuple((kind, 1, SET) for kind in ("calibrated_ms", "image", "image_pbcor", "psf"))

WELL = Facts(
    deliveries=(
        Delivery("a.ms", KEY, Fate.IMAGED),
        Delivery("c.ms", CALIBRATOR, Fate.IMAGED),
        Delivery("bad.ms", "", Fate.REFUSED, ("no MeasurementSet",)),
        Delivery("flagged.ms", BAD, Fate.REFUSED, ("flagged",)),
        Delivery("gone.ms", "61373.40000", Fate.GONE),
    ),
    known={
        KEY: Known("imaged", "", "a.ms", PRODUCTS),
        CALIBRATOR: Known("imaged", "", "c.ms", PRODUCTS),
        BAD: Known("failed", "all of it is flagged", "flagged.ms"),
    },
    registry={KEY: SET, CALIBRATOR: SET, BAD: SET},
    sets={SET: CALIBRATOR},
    told={
        "incoming_ms": {KEY: Told(), CALIBRATOR: Told(), BAD: Told()},
        "calibrated_ms": {KEY: Told(SET), CALIBRATOR: Told(SET)},
        "image_5min": {KEY: Told(SET), CALIBRATOR: Told(SET)},
        "caltable_set": {CALIBRATOR: Told(SET)},
    },
    partitions={"incoming_ms": frozenset({KEY, CALIBRATOR, BAD})},
    aside={"bad.ms": "/in/bad.ms is no MeasurementSet"},
    runs=(
        Ran("image_observation", "SUCCESS", KEY, f"image:{KEY}"),
        Ran("image_observation", "FAILURE", KEY, f"image:{KEY}"),
        Ran("image_observation", "SUCCESS", KEY),
        Ran("export_dashboard", "CANCELED"),
    ),
    slots={"casa": 0},
    messages=(Message("platform:1", "sent", 1), Message("platform:2", "perhaps sent", 0)),
)


def test_a_platform_that_settled_has_no_findings() -> None:
    assert judge(WELL) == ()
    assert figure((), 12) == "12 / 0 / 0 / 0"
    # Somebody's request failed, and a sensor did it when that was possible again.
    by_hand = Ran("__ASSET_JOB", "FAILURE", KEY)
    assert judge(replace(WELL, runs=(WELL.runs[0], by_hand, WELL.runs[0]))) == ()


def known(key: str, **changes: Any) -> Facts:
    return replace(WELL, known={**WELL.known, key: replace(WELL.known[key], **changes)})


def told(asset: str, **entries: Told | None) -> Facts:
    new = {**WELL.told[asset], **{_key(k): v for k, v in entries.items()}}
    return replace(WELL, told={**WELL.told, asset: {k: v for k, v in new.items() if v is not None}})


def _key(name: str) -> str:
    return {"target": KEY, "calibrator": CALIBRATOR, "stranger": "61373.99999"}[name]


def delivered(delivery: Delivery) -> Facts:
    return replace(WELL, deliveries=(*WELL.deliveries, delivery))


OTHER = "3C48_61373.20832.v2"

FAULTY = {
    "a good one isn't known": (
        delivered(Delivery("b.ms", "61373.50000", Fate.IMAGED)),
        Finding(Kind.LOST, "b.ms", "nothing is known of it"),
    ),
    "a good one is set aside": (
        replace(
            delivered(Delivery("b.ms", "61373.50000", Fate.IMAGED)),
            aside={**WELL.aside, "b.ms": "can't be read"},
        ),
        Finding(Kind.LOST, "b.ms", "can't be read"),
    ),
    "a good one failed": (
        known(KEY, state="failed", reason="the disk was full"),
        Finding(Kind.LOST, KEY, "is failed: the disk was full"),
    ),
    "another MS is taken for it": (
        known(KEY, name="other.ms"),
        Finding(Kind.LOST, "a.ms", "other.ms is taken for it"),
    ),
    "a bad one isn't refused": (
        replace(WELL, aside={}),
        Finding(Kind.BY_HAND, "bad.ms", "isn't refused, or nothing says why"),
    ),
    "a bad one that is imaged": (
        replace(
            known(BAD, state="imaged", reason="", artefacts=PRODUCTS),
            told={
                **WELL.told,
                **{
                    asset: {**WELL.told[asset], BAD: Told(SET)}
                    for asset in ("calibrated_ms", "image_5min")
                },
            },
        ),
        Finding(Kind.BY_HAND, "flagged.ms", "isn't refused, or nothing says why"),
    ),
    "a bad one is refused for another reason": (
        known(BAD, reason="the disk was full"),
        Finding(Kind.BY_HAND, "flagged.ms", "is refused for another reason: the disk was full"),
    ),
    "one that was taken away is tried for ever": (
        replace(
            WELL,
            deliveries=(*WELL.deliveries, Delivery("g.ms", BAD, Fate.GONE)),
            known={**WELL.known, BAD: Known("arrived", "", "flagged.ms")},
            aside={**WELL.aside, "flagged.ms": "flagged"},
        ),
        Finding(Kind.BY_HAND, BAD, "is arrived for ever, without its MS"),
    ),
    "one that was taken away failed without a reason": (
        replace(
            WELL,
            deliveries=(*WELL.deliveries, Delivery("g.ms", BAD, Fate.GONE)),
            known={**WELL.known, BAD: Known("failed", "", "g.ms")},
            aside={**WELL.aside, "flagged.ms": "flagged"},
        ),
        Finding(Kind.BY_HAND, BAD, "is failed, and nothing says why"),
    ),
    "an interrupted one stays so": (
        replace(
            known(BAD, state="interrupted"), aside={**WELL.aside, "flagged.ms": "flagged"}
        ),
        Finding(Kind.BY_HAND, BAD, "is interrupted, and isn't started again"),
    ),
    "two versions of a product": (
        known(KEY, artefacts=(*PRODUCTS, ("image", 2, SET))),
        Finding(Kind.DOUBLED, KEY, "2 versions of image"),
    ),
    "a product is recorded twice": (
        known(KEY, artefacts=(*PRODUCTS, PRODUCTS[1])),
        Finding(Kind.DOUBLED, KEY, "image is recorded 2 times"),
    ),
    "a product is missing": (
        known(KEY, artefacts=PRODUCTS[1:]),
        Finding(Kind.LOST, KEY, "is imaged, and the store has no calibrated_ms"),
    ),
    "another set than the registry's": (
        replace(WELL, registry={**WELL.registry, KEY: OTHER}),
        Finding(Kind.LOST, KEY, f"was made with {SET}, the registry gives {OTHER}"),
    ),
    "a set though the registry gives none": (
        replace(WELL, registry={**WELL.registry, KEY: ""}),
        Finding(Kind.LOST, KEY, f"was made with {SET}, the registry gives none"),
    ),
    "Dagster doesn't know that it arrived": (
        told("incoming_ms", target=None),
        Finding(Kind.BY_HAND, KEY, "Dagster has no materialization of incoming_ms"),
    ),
    "Dagster doesn't know its key": (
        replace(WELL, partitions={"incoming_ms": frozenset({CALIBRATOR, BAD})}),
        Finding(Kind.BY_HAND, KEY, "Dagster doesn't have its partition key"),
    ),
    "Dagster doesn't know its image": (
        told("image_5min", target=None),
        Finding(Kind.BY_HAND, KEY, "Dagster has no materialization of image_5min"),
    ),
    "Dagster names another set": (
        told("calibrated_ms", target=Told(OTHER)),
        Finding(
            Kind.BY_HAND, KEY,
            f"calibrated_ms was made with {OTHER} to Dagster, with {SET} to the store",
        ),
    ),
    "an observation that nobody delivered": (
        replace(WELL, deliveries=WELL.deliveries[1:]),
        Finding(Kind.DOUBLED, KEY, "is an observation that nobody delivered"),
    ),
    "an image of no observation": (
        told("image_5min", stranger=Told(SET)),
        Finding(
            Kind.BY_HAND, "61373.99999", "image_5min is materialized, the store has none"
        ),
    ),
    "a set that Dagster doesn't know": (
        told("caltable_set", calibrator=None),
        Finding(Kind.BY_HAND, SET, "Dagster has no materialization of it"),
    ),
    "a set that is another to Dagster": (
        told("caltable_set", calibrator=Told(OTHER)),
        Finding(
            Kind.BY_HAND, CALIBRATOR, f"caltable_set is {OTHER} to Dagster, which isn't active"
        ),
    ),
    "two sets of one solve": (
        replace(WELL, sets={SET: CALIBRATOR, OTHER: CALIBRATOR}),
        Finding(Kind.DOUBLED, CALIBRATOR, "2 sets that were solved from it are active"),
    ),
    "a run that hangs": (
        replace(WELL, runs=(Ran("image_observation", "STARTED", KEY),)),
        Finding(Kind.BY_HAND, f"image_observation {KEY}", "its run is STARTED"),
    ),
    "work that was done twice": (
        replace(WELL, runs=(WELL.runs[0], WELL.runs[0])),
        Finding(Kind.DOUBLED, f"image:{KEY}", "2 runs did it"),
    ),
    "a slot that isn't freed": (
        replace(WELL, slots={"casa": 1, "imaging": 0}),
        Finding(Kind.BY_HAND, "pool casa", "1 slots are in use, and nothing runs"),
    ),
    "a message that came twice": (
        replace(WELL, messages=(Message("platform:1", "sent", 2),)),
        Finding(Kind.DOUBLED, "platform:1", "people got it 2 times"),
    ),
    "a message that wasn't sent": (
        replace(WELL, messages=(Message("platform:1", "given up", 0),)),
        Finding(Kind.BY_HAND, "platform:1", "the message is given up"),
    ),
    "a message that never came": (
        replace(WELL, messages=(Message("platform:1", "sent", 0),)),
        Finding(Kind.LOST, "platform:1", "people never got it, and it counts as sent"),
    ),
    "a product that was altered": (
        replace(WELL, problems=("image is gone",)),
        Finding(Kind.BY_HAND, "verify", "image is gone"),
    ),
    "something that is left": (
        replace(WELL, left=("scratch/casa-1",)),
        Finding(Kind.BY_HAND, "left behind", "scratch/casa-1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("condition", FAULTY)
def test_each_condition_that_fails_is_found_alone(condition: str) -> None:
    facts, finding = FAULTY[condition]
    assert judge(facts) == (finding,)


def test_the_figure_counts_things_and_not_findings() -> None:
    findings = (
        Finding(Kind.LOST, KEY, "one"),
        Finding(Kind.LOST, KEY, "and another"),
        Finding(Kind.DOUBLED, KEY, "twice"),
        Finding(Kind.BY_HAND, "verify", "gone"),
        Finding(Kind.BY_HAND, "pool casa", "full"),
    )
    assert figure(findings, 7) == "7 / 1 / 1 / 2"
