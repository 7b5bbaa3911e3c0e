"""Made-up states of the platform, and a reader that checks documents against their schemas."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.export.model import DOCUMENTS
from contimg_resources.export.parts import Document
from contimg_resources.export.schemas import schemas
from contimg_resources.export.state import PlatformState
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.epochs import (
    EpochKind,
    EpochRecord,
    MosaicQuality,
    MosaicRecord,
    MosaicState,
)
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.products.model import ImageRecord, ObservationRecord, ObservationState
from contimg_resources.registry.lookup import ActiveSet
from contimg_resources.registry.model import CaltableSet, SetStatus
from contimg_resources.variability.model import LightCurves, Variability, VariabilityFacts

MJD = 61_041.0


def light_curves(
    n_sources: int, n_points: int, *, names: Sequence[str] | None = None, seed: int = 1
) -> LightCurves:
    rng = np.random.default_rng(seed)
    n = n_sources * n_points
    ids = sorted(names or (f"nvss-{i:06d}+{i % 90:06d}" for i in range(n_sources)))
    mid_mjd = MJD - n_points + np.arange(n_points) + 0.25
    return LightCurves(
        source_id=np.array(ids, np.str_),
        ra_deg=rng.uniform(0, 360, n_sources),
        dec_deg=rng.uniform(-30, 89, n_sources),
        offsets=n_points * np.arange(n_sources + 1),
        mid_mjd=np.tile(mid_mjd, n_sources),
        flux_jy=rng.lognormal(-4, 1, n),
        error_jy=np.full(n, 5.123456e-4),
        flags=rng.integers(0, 2, n) * 8,
        is_reference=rng.random(n) < 0.1,
        epoch=np.tile(np.array([f"{m:.5f}+16.3" for m in mid_mjd], np.str_), n_sources),
    )


def variability(points: LightCurves, variable: Sequence[int] = (0,)) -> Variability:
    n = len(points)
    rng = np.random.default_rng(2)
    is_variable = np.zeros(n, np.bool_)
    is_variable[[i for i in variable if i < n]] = True
    numbers = {
        name: rng.random(n)
        for name in ("mean_flux_jy", "median_snr", "eta", "v", "modulation_index", "p_value")
    }
    return Variability(
        source_id=points.source_id,
        ra_deg=points.ra_deg,
        dec_deg=points.dec_deg,
        n_epochs=np.diff(points.offsets),
        **numbers,
        pair_vs=rng.random(n),
        pair_m=rng.random(n),
        pair_first_mjd=np.full(n, MJD - 20.0),
        pair_second_mjd=np.full(n, MJD - 10.0),
        is_reference=np.zeros(n, np.bool_),
        is_pair_variable=is_variable,
        is_variable=is_variable,
        facts=VariabilityFacts(
            day_mjd=61_040,
            systematic_floor=0.02,
            n_references=12,
            eta_sigma=3.0,
            v_sigma=2.0,
            threshold_snr=(5.0, 50.0, float("nan")),
            threshold_eta=(2.0, 3.0, 4.0),
            threshold_v=(0.3, 0.1, 0.1),
        ),
    )


def observation(
    days: float, state: ObservationState = ObservationState.IMAGED, reason: str = ""
) -> ObservationRecord:
    mid_mjd = MJD + days
    return ObservationRecord(
        key=f"{mid_mjd:.5f}",
        path=Path("/data/x.ms"),
        signature="s",
        start_mjd=mid_mjd - 0.0018,
        mid_mjd=mid_mjd,
        end_mjd=mid_mjd + 0.0018,
        declination_deg=16.3,
        calibrator="",
        state=state,
        step="image_5min",
        reason=reason,
        updated_mjd=mid_mjd,
        superseded_by="",
    )


ACTIVE = ActiveSet(1, "first", 1, MJD, MJD - 1, MJD + 1, 16.3, 1)


def caltable_set(name: str = "first", days: float = 0.0) -> CaltableSet:
    return CaltableSet(
        id=1,
        name=name,
        version=1,
        calibrator="3C286",
        refant="104",
        mid_mjd=MJD + days,
        start_mjd=MJD + days - 1,
        end_mjd=MJD + days + 1,
        declination_deg=None,
        layout=ArrayLayout((), ()),
        status=SetStatus.RETIRED,
        reasons=("a storm", "rain"),
        quality={"flagged_fraction": 0.125},
        origin={},
        registered_mjd=MJD,
        tables=(),
    )


def mosaic(days: float = 0.0, state: MosaicState = MosaicState.MADE) -> MosaicRecord:
    return MosaicRecord(
        key=f"{MJD + days:.5f}+16.3",
        start_mjd=MJD + days - 0.02,
        mid_mjd=MJD + days,
        end_mjd=MJD + days + 0.02,
        declination_deg=16.3,
        state=state,
        reason="" if state is MosaicState.MADE else "seams of 12%",
        tiles={"a": "1", "b": "2"},
        directory=Path("/data"),
        statistics=MosaicQuality(rms_mjy=1.5, observed_deg2=12.0),
    )


def epoch(one: MosaicRecord, reason: str = "") -> EpochRecord:
    return EpochRecord(
        epoch=one.key,
        kind=EpochKind.MOSAIC,
        mid_mjd=one.mid_mjd,
        measured_from="",
        catalogue="nvss",
        path=Path("/data/x.parquet"),
        checksum="",
        size_bytes=1,
        n_sources=20,
        n_measured=18,
        epoch_ok=not reason,
        reason=reason,
        scale=1.02,
    )


def candidate(points: LightCurves, number: int = 0, **changes: Any) -> CandidateRecord:
    values: dict[str, Any] = {
        "id": f"ese-{number}",
        "source_id": str(points.source_id[number]),
        "ra_deg": 10.0,
        "dec_deg": 16.0,
        "state": CandidateState.IN_PROGRESS,
        "start_mjd": MJD - 40.0,
        "mid_mjd": MJD - 30.0,
        "end_mjd": MJD - 20.0,
        "score": 123.4,
        "parameters": FittedDip(
            depth=0.4,
            depth_error=float("inf"),
            width_days=20.0,
            baseline_jy=0.05,
            template="fiedler",
            template_mjd=(MJD - 40.0, MJD - 30.0, MJD - 20.0),
            template_jy=(0.05, 0.03, float("nan")),
        ),
        "evidence": DipEvidence(
            neighbours=tuple(str(name) for name in (*points.source_id[1:2], "nobody")),
            neighbour_depth=0.01,
        ),
        "searched_day": 61_040,
        "first_day": 61_030,
    }
    return CandidateRecord(**{**values, **changes})


def platform_state(points: LightCurves | None = None, **changes: Any) -> PlatformState:
    points = light_curves(12, 60) if points is None else points
    observations = (
        *(observation(days) for days in (-3.0, -0.2, -0.1)),
        observation(-0.05, ObservationState.FAILED, "61040.95000: no data"),
        observation(0.0, ObservationState.WAITING, "no set"),
    )
    made = mosaic(-0.1)
    values: dict[str, Any] = {
        "observations": observations,
        "answers": (None, ACTIVE, ACTIVE, ACTIVE, None),
        "applied": {},
        "stale": frozenset({observations[1].key}),
        "images": {
            o.key: ImageRecord(rms_mjy=1.0 + i, expected_rms_mjy=0.5, flux_ratio=float("inf"))
            for i, o in enumerate(observations[:3])
        },
        "sets": (caltable_set("second", 0.5), caltable_set()),
        "mosaics": (made, mosaic(0.0, MosaicState.FAILED)),
        "epochs": {made.key: epoch(made, "too few references")},
        "points": points,
        "variability": variability(points),
        "candidates": (candidate(points),) if len(points) else (),
    }
    return PlatformState(**{**values, **changes})


def read_export(root: Path) -> dict[str, list[Document]]:
    """Read every document, each checked against its model and its published schema."""
    index = read_document(root, "index.json", "index")
    found: dict[str, list[Document]] = {"index": [index]}
    for name, pages in index.model_dump()["pages"].items():
        found[name] = [read_document(root, page["path"], name) for page in pages]
    return found


def read_document(root: Path, path: str, document: str) -> Document:
    data = (root / path).read_bytes()
    assert len(data) <= 1_000_000, path
    schema = json.loads(
        (root / "schema/v2" / f"{document}.json").read_text()
        if (root / "schema").is_dir()
        else schemas()[document]
    )
    check(json.loads(data, parse_constant=_refuse), schema, schema, path)
    return DOCUMENTS[document].model_validate_json(data)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str) -> None:
    """Check a value against the part of JSON Schema that pydantic writes; refuse other keywords."""
    known = {"$ref", "$defs", "$schema", "title", "description", "default", "type", "properties"}
    known |= {"required", "items", "anyOf", "const", "minimum", "additionalProperties"}
    assert set(schema) <= known, f"{where}: {set(schema) - known}"
    if ref := schema.get("$ref"):
        check(value, root["$defs"][ref.removeprefix("#/$defs/")], root, where)
    if "anyOf" in schema:
        fits = []
        for one in schema["anyOf"]:
            try:
                check(value, one, root, where)
            except AssertionError:
                continue
            fits.append(one)
        assert fits, f"{where}: {value!r} fits none"
    if kind := schema.get("type"):
        # In Python, but not in JSON, a truth value is a number.
        is_number = kind in ("number", "integer")
        right = isinstance(value, _TYPES[kind]) and not (is_number and isinstance(value, bool))
        assert right, f"{where}: {value!r} is no {kind}"
    if "const" in schema:
        assert value == schema["const"], where
    if "minimum" in schema:
        assert value >= schema["minimum"], where
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), where
        others = schema.get("additionalProperties")
        for name, part in value.items():
            inner = schema.get("properties", {}).get(name, others)
            if isinstance(inner, dict):
                check(part, inner, root, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for part in value:
            check(part, schema["items"], root, f"{where}[]")
