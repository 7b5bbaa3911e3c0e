"""A year of two strips as an export tells it: made up from the models, without any platform."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.export import model
from contimg_resources.export.parts import Document

STRIPS_DEG = (16.3, 33.2)
N_OBSERVATIONS = 3000
N_SETS = 40
N_SOURCES = 2000
N_POINTS = 300
HOSTILE = "</script><img src=x onerror=alert(1)>"
DIPPING = "DSA J0123+3312"
CANDIDATES = ("ESE-0123+3312-61200", "ESE-0741+1620-61050")
PER_PAGE = 500


@dataclass
class MadeUpExport:
    """What is written, and where."""

    directory: Path
    now_mjd: float
    pages: dict[str, tuple[model.Page, ...]] = field(default_factory=dict)

    @property
    def first_mjd(self) -> float:
        return self.now_mjd - 365.0

    def page(self, name: str, document: Document, n_items: int) -> None:
        """Write one page and note it for the index."""
        content = document.model_dump_json().encode()
        path = f"{name}/{len(self.pages.get(name, ()))}-{hashlib.sha256(content).hexdigest()}.json"
        (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / path).write_bytes(content)
        page = model.Page(path=path, n_items=n_items, size_bytes=len(content))
        self.pages[name] = (*self.pages.get(name, ()), page)

    def write_index(self, *, generated_mjd: float | None = None, **status: Any) -> None:
        """Write the index of the pages so far."""
        generated = self.now_mjd if generated_mjd is None else generated_mjd
        index = model.Index(
            generated_mjd=generated,
            generated_utc=_utc(generated),
            software={"contimg": "0.1.0"},
            telescope="DSA-110",
            status=_status(self.now_mjd).model_copy(update=status),
            pages=self.pages,
            files={"variability (Parquet)": "files/variability.parquet"},
        )
        partial = self.directory / ".index.partial"
        partial.write_text(index.model_dump_json())
        partial.replace(self.directory / "index.json")


def write_export(directory: Path, now_mjd: float) -> MadeUpExport:
    """Write a whole export; the same for the same time."""
    random = np.random.default_rng(110)
    export = MadeUpExport(directory, now_mjd)
    (directory / "pictures").mkdir(parents=True)
    for name in ("card", *(f"cutout-{i}" for i in range(6))):
        _picture(directory / "pictures" / f"{name}.png", random)
    _observations(export)
    _calibration(export)
    _quality(export, random)
    _mosaics(export, random)
    ids = source_ids()
    _sources(export, ids, random)
    _light_curves(export, ids, random)
    _candidates(export, ids, random)
    export.write_index()
    return export


def source_ids() -> list[str]:
    """Return the ids, sorted."""
    made = {f"DSA J{i * 24 // N_SOURCES:02d}{(i * 1440 // N_SOURCES) % 60:02d}+{i:04d}" for i in
            range(N_SOURCES - 2)}  # fmt: skip
    return sorted({*made, HOSTILE, DIPPING})


def _utc(mjd: float) -> str:
    return datetime_from_mjd(mjd).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(now: float) -> model.Status:
    return model.Status(
        start_mjd=now - 1.01,
        end_mjd=now - 0.01,
        counts=tuple(
            model.Count(state=state, n=n)
            for state, n in (("imaged", 241), ("waiting", 12), ("failed", 3), ("arrived", 2))
        ),
        observed_h=21.5,
        n_images=241,
        n_mosaics=20,
        last_observation=f"{now - 0.012:.5f}",
        last_image_mjd=now - 0.014,
        median_rms_mjy=2.31,
        median_rms_ratio=1.12,
        active_set="3C48_61190",
        active_set_until_mjd=now + 0.31,
        n_failed=3,
        n_waiting=12,
        n_stale=4,
        n_candidates_in_progress=1,
        n_variables=23,
        problems=(
            "3 observations failed in the step image: too many flagged data",
            "12 observations of the strip +16.3° wait for a calibrator since 4 h",
        ),
    )


def _in_pages(
    export: MadeUpExport, name: str, items: Sequence[Any], made: Callable[[Any], Document]
) -> None:
    for start in range(0, len(items), PER_PAGE):
        part = tuple(items[start : start + PER_PAGE])
        export.page(name, made(part), len(part))


def _times(export: MadeUpExport) -> list[float]:
    # A few dozen observations in a row on some days.
    days = N_OBSERVATIONS // 30
    return [
        export.first_mjd + 3.6 * day + 0.1 + i * 310 / 86400 for day in range(days)
        for i in range(30)
    ]  # fmt: skip


def _strip(i: int) -> float:
    return STRIPS_DEG[(i // 30) % 2]


def _observations(export: MadeUpExport) -> None:
    states = ["imaged"] * 17 + ["waiting", "failed", "calibrated"]
    reasons = {"failed": "too many flagged data (71 %)", "waiting": "no valid caltable set"}
    items = [
        model.ObservationItem(
            key=f"{mjd:.5f}",
            start_mjd=mjd - 0.0018,
            mid_mjd=mjd,
            end_mjd=mjd + 0.0018,
            ra_deg=(mjd * 360.9856) % 360,
            dec_deg=_strip(i),
            calibrator="3C48" if i % 30 == 5 else "",
            state=states[i * 7 % 20],
            reason=reasons.get(states[i * 7 % 20], ""),
            set_name=f"3C48_{int(mjd)}",
            stale=i % 100 == 3,
        )
        for i, mjd in enumerate(_times(export))
    ]
    _in_pages(export, "observations", items, lambda part: model.Observations(observations=part))


def _calibration(export: MadeUpExport) -> None:
    sets = []
    for i in range(N_SETS):
        # The last weeks densely; nobody looks at last year's every day.
        mid = export.now_mjd - 0.6 * (N_SETS - i) ** 1.25
        status = "failed" if i % 13 == 5 else "retired" if i % 9 == 4 else "active"
        sets.append(
            model.CaltableSetItem(
                name=f"{'3C48' if i % 2 else '3C147'}_{int(mid)}",
                version=1,
                calibrator="3C48" if i % 2 else "3C147",
                status=status,
                reason={"failed": "median SNR 4.1 of B", "retired": "a better one"}.get(status, ""),
                mid_mjd=mid,
                start_mjd=mid - 1,
                end_mjd=mid + 1,
                dec_deg=STRIPS_DEG[i % 2],
                refant="104",
                tables=("K", "B", "2G"),
                flag_fraction=0.03,
            )
        )
    now = export.now_mjd
    gaps = (
        model.Gap(start_mjd=now - 33.2, end_mjd=now - 31.1, n_observations=61),
        model.Gap(start_mjd=now - 12.4, end_mjd=now - 11.9, n_observations=14),
    )
    export.page("calibration", model.Calibration(sets=tuple(sets), gaps=gaps), len(sets))


def _quality(export: MadeUpExport, random: np.random.Generator) -> None:
    mjd = _times(export)
    for start in range(0, len(mjd), PER_PAGE):
        part = mjd[start : start + PER_PAGE]
        n = len(part)
        rms = 2.2 * np.exp(random.normal(0, 0.12, n))
        rms[::97] *= 4
        flux_ratio: list[float | None] = random.normal(1, 0.03, n).tolist()
        flux_ratio[3] = None
        document = model.ImageQuality(
            key=tuple(f"{m:.5f}" for m in part),
            mid_mjd=tuple(part),
            rms_mjy=tuple(rms.tolist()),
            expected_rms_mjy=tuple((2.0 + 0.1 * np.sin(np.arange(n) / 40)).tolist()),
            dynamic_range=tuple((900 / rms).tolist()),
            bmaj_arcsec=tuple(random.normal(38, 1, n).tolist()),
            bmin_arcsec=tuple(random.normal(27, 0.7, n).tolist()),
            n_sources=tuple(random.poisson(61, n).tolist()),
            flux_ratio=tuple(flux_ratio),
            offset_arcsec=tuple(np.abs(random.normal(0, 1.3, n)).tolist()),
            flag_fraction=tuple(random.beta(2, 20, n).tolist()),
        )
        export.page("image_quality", document, n)


def _mosaics(export: MadeUpExport, random: np.random.Generator) -> None:
    items = []
    for i, mjd in enumerate(_times(export)[::10]):
        dec = _strip(i * 10)
        failed = i % 40 == 7
        items.append(
            model.MosaicItem(
                key=f"{mjd:.5f}+{dec}",
                start_mjd=mjd - 0.02,
                mid_mjd=mjd,
                end_mjd=mjd + 0.02,
                ra_deg=(mjd * 360.9856) % 360,
                dec_deg=dec,
                state="failed" if failed else "made",
                reason="fewer than three tiles" if failed else "",
                n_tiles=2 if failed else 12,
                rms_mjy=None if failed else 0.9 * math.exp(random.normal(0, 0.1)),
                expected_rms_mjy=None if failed else 0.8,
                observed_deg2=44.0,
                n_sources=210,
                n_measured=None if failed else 204,
                flux_scale=None if failed else 1.01,
                epoch_ok=None if failed else i % 30 != 11,
            )
        )
    _in_pages(export, "mosaics", items, lambda part: model.Mosaics(mosaics=part))


def _sources(export: MadeUpExport, ids: list[str], random: np.random.Generator) -> None:
    n = len(ids)
    flux = 5 * (1 - random.random(n)) ** -0.8
    snr = flux / 0.9
    eta: list[float | None] = np.exp(random.normal(0, 0.25, n)).tolist()
    v: list[float | None] = (np.exp(random.normal(0, 0.2, n)) * np.hypot(1 / snr, 0.03)).tolist()
    chosen = sorted({ids.index(HOSTILE), ids.index(DIPPING), *range(40, n, 97)})
    for i in chosen:
        eta[i] = 4.0 * math.exp(random.normal(0.5, 0.5))
        v[i] = 0.3 * math.exp(random.normal(0, 0.4))
    eta[11] = v[11] = None
    ra = np.sort(random.random(n) * 360)
    dec = np.array([STRIPS_DEG[i % 2] for i in range(n)]) + random.normal(0, 0.6, n)
    values: dict[str, list[Any]] = {
        "source_id": ids,
        "ra_deg": ra.tolist(),
        "dec_deg": dec.tolist(),
        "n_epochs": [N_POINTS] * n,
        "mean_flux_mjy": flux.tolist(),
        "median_snr": snr.tolist(),
        "eta": eta,
        "v": v,
        "modulation_index": random.normal(0.02, 0.02, n).tolist(),
        "p_value": random.random(n).tolist(),
        "pair_vs": random.normal(2, 1, n).tolist(),
        "pair_m": random.normal(0.1, 0.1, n).tolist(),
        **_intrinsic(n, chosen),
        "is_variable": [i in chosen for i in range(n)],
        "light_curve_page": [0 if i in _with_curves(ids) else None for i in range(n)],
    }
    for start in range(0, n, PER_PAGE):
        part = {name: tuple(column[start : start + PER_PAGE]) for name, column in values.items()}
        export.page("sources", model.Sources(**part), len(part["source_id"]))
    items = tuple(
        model.VariableItem(
            **{
                name: values[name][i]
                for name in model.VariableItem.model_fields
                if name in values and name != "source_id"
            },
            source_id=ids[i],
            pair_first_mjd=export.now_mjd - 200,
            pair_second_mjd=export.now_mjd - 150,
        )
        for i in chosen
    )
    document = model.Variables(
        day_mjd=int(export.now_mjd) - 1,
        systematic_floor=0.03,
        n_references=412,
        eta_sigma=3.0,
        v_sigma=2.0,
        threshold_snr=(6.0, 20.0, 60.0, 200.0),
        threshold_eta=(2.2, 2.4, 2.7, 3.2),
        threshold_v=(0.28, 0.12, 0.07, 0.055),
        systematics=(
            model.SystematicItem(
                cause="place", amplitude=0.021, error=0.001, sigma=91.0, is_removed=True
            ),
            model.SystematicItem(
                cause="year", amplitude=0.0, error=0.002, sigma=-0.4, is_removed=False
            ),
        ),
        variables=items,
    )
    export.page("variables", document, len(items))


def _intrinsic(n: int, varying: list[int]) -> dict[str, list[Any]]:
    """Return the intrinsic variability: what varies is measured, or its tau has only one limit."""
    varies = np.isin(np.arange(n), varying)
    bounded = varies & (np.arange(n) % 2 == 0)
    columns = {
        "probability": np.where(varies, 0.999, 0.04),
        "sigma": np.where(varies, 0.21, 0.002),
        "sigma_error": np.where(varies, 0.03, 0.008),
        "sigma_low": np.where(varies, 0.17, 0.0),
        "sigma_high": np.where(varies, 0.26, 0.011),
        "tau_days": np.where(varies, 61.0, np.nan),
        "tau_error_days": np.where(varies, 24.0, np.nan),
        "tau_low_days": np.where(varies, 33.0, np.nan),
        "tau_high_days": np.where(bounded, 112.0, np.nan),
        "jitter": np.full(n, 0.02),
    }
    return {
        f"intrinsic_{name}": [None if math.isnan(v) else v for v in values.tolist()]
        for name, values in columns.items()
    }


def _structure() -> model.StructureItem:
    lag = 1.5 ** np.arange(13)
    curve = 2 * 0.21**2 * (1 - np.exp(-lag / 61)) + 2 * 0.02**2
    measured = curve * np.exp(0.2 * np.sin(np.arange(13)))
    measured[0] = -1e-4
    return model.StructureItem(
        lag_days=tuple(lag.tolist()),
        structure=tuple(measured.tolist()),
        structure_error=tuple((0.3 * curve).tolist()),
        model=tuple(curve.tolist()),
        n_pairs=(200,) * 13,
    )


def _with_curves(ids: list[str]) -> list[int]:
    return sorted({ids.index(HOSTILE), ids.index(DIPPING), *range(0, len(ids), 40)})


def _baseline(i: int) -> float:
    return 12.0 + i % 7


def _dip(mjd: np.ndarray[Any, Any], mid: float, width: float, depth: float) -> Any:
    return 1 - depth * np.exp(-(((mjd - mid) / (0.6 * width)) ** 4))


def _light_curves(export: MadeUpExport, ids: list[str], random: np.random.Generator) -> None:
    mjd = export.first_mjd + np.sort(random.random(N_POINTS)) * 364.5
    items = []
    for i in _with_curves(ids):
        mean = _baseline(i)
        flux = mean + random.normal(0, 0.6, N_POINTS)
        if ids[i] in (DIPPING, ids[40]):
            flux *= _dip(mjd, export.now_mjd - (60 if ids[i] == DIPPING else 200), 45, 0.5)
        column: list[float | None] = flux.tolist()
        flags = [16 if k % 41 == 8 else 0 for k in range(N_POINTS)]
        column[20], flags[20] = None, 4
        items.append(
            model.LightCurveItem(
                source_id=ids[i],
                mid_mjd=tuple(mjd.tolist()),
                flux_mjy=tuple(column),
                error_mjy=tuple([0.6] * N_POINTS),
                flags=tuple(flags),
                structure=_structure() if ids[i] == DIPPING else None,
            )
        )
    export.page("light_curves", model.LightCurves(light_curves=tuple(items)), len(items))


def _candidates(export: MadeUpExport, ids: list[str], random: np.random.Generator) -> None:
    mjd = export.first_mjd + np.arange(0, 365, 4.0)
    made = []
    for number, (name, source) in enumerate(zip(CANDIDATES, (DIPPING, ids[40]), strict=True)):
        mid = export.now_mjd - (60, 200)[number]
        mark = model.MarkItem(mark="real", note="symmetric", by="ada", utc="2026-11-02T08:10:00Z")
        earlier = model.MarkItem(
            mark="follow up", note="ask for L band", by="ben", utc="2026-11-01T21:40:00Z"
        )
        made.append(
            model.CandidateItem(
                id=name,
                source_id=source,
                ra_deg=20.9 if number == 0 else 115.4,
                dec_deg=33.2 if number == 0 else 16.3,
                state=("in progress", "complete")[number],
                start_mjd=mid - 22,
                mid_mjd=mid,
                end_mjd=mid + 22,
                score=(41.2, 18.4)[number],
                threshold=15.5,
                template="fiedler",
                depth=0.5,
                depth_error=0.02,
                width_days=44.2,
                width_error_days=1.9,
                mid_error_days=0.8,
                baseline_mjy=_baseline(ids.index(source)),
                baseline_error_mjy=0.05,
                reduced_chi2=1.07,
                neighbour_depth=0.004,
                neighbour_depth_error=0.011,
                first_day_mjd=int(mid) + 10,
                searched_day_mjd=int(export.now_mjd),
                mark=mark if number else None,
                earlier_marks=(earlier,) if number else (),
                template_mjd=tuple(mjd.tolist()),
                template_mjy=tuple(
                    (_baseline(ids.index(source)) * _dip(mjd, mid, 45, 0.5)).tolist()
                ),
                light_curve_page=0,
                neighbours=tuple(
                    model.Neighbour(
                        source_id=ids[k],
                        separation_deg=0.2 + k / 100,
                        mid_mjd=tuple(mjd.tolist()),
                        ratio=tuple(random.normal(1, 0.02, len(mjd)).tolist()),
                    )
                    for k in (50, 60, 70)
                ),
                card_png="pictures/card.png",
                chart_png="pictures/card.png",
                follow_up_json="pictures/report.json",
                voevent_xml="pictures/report.xml",
                cutouts=tuple(
                    model.CutoutItem(
                        epoch=f"{mid + 9 * k:.5f}+33.2",
                        mid_mjd=mid + 9 * k,
                        png=f"pictures/cutout-{k}.png",
                    )
                    for k in range(6)
                ),
            )
        )
    export.page("candidates", model.Candidates(candidates=tuple(made)), len(made))


def _picture(path: Path, random: np.random.Generator) -> None:
    y, x = np.mgrid[-32:32, -32:32]
    sky = 30 + 12 * random.standard_normal((64, 64)) + 190 * np.exp(-(x**2 + y**2) / 18)
    Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8)).save(path)
