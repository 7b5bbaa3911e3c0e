"""Metadata of each materialization of a daily asset, shown on its page.

Belongs here: the metadata of days, light curves, variability, candidates, cutouts and documents.
Doesn't: that of single observations and mosaics (see `contimg_assets.descriptions`).
"""

import math
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from contimg_assets.descriptions import Metadata
from contimg_assets.telling import drawing, listed, preview
from contimg_resources.core.times import utc_day
from contimg_resources.products.events import CandidateRecord, MarkRecord
from contimg_resources.products.model import ObservationRecord
from contimg_resources.steps.candidates import Searched
from contimg_resources.steps.cards import DrawnCards
from contimg_resources.steps.cutouts import ManyCutouts
from contimg_resources.steps.day import DayLog
from contimg_resources.steps.exporting import Exported
from contimg_resources.steps.mapping_sky import MappedSky
from contimg_resources.steps.variability import DayOfPoints, DayOfVariability

#: Maximum number of variables and candidates listed, and of cards shown.
_MAX_LISTED = 30
_MAX_CARDS = 6


def describe_day(log: DayLog) -> Metadata:
    """Sum up one UTC day."""
    return {
        "mjd_day": log.mjd_day,
        "n_observations": len(log.observations),
        **{f"n_{state.value}": count for state, count in log.counts.items()},
        "observed_h": round(log.observed_h, 4),
        "n_caltable_sets": len(log.caltable_sets),
        "n_gaps": len(log.gaps),
        "largest_gap_s": round(max((gap.length_s for gap in log.gaps), default=0.0), 4),
        "observations": listed(_observed(o, log) for o in log.observations),
    }


def describe_points(points: DayOfPoints) -> Metadata:
    """Count the sources that transited and the measurements."""
    return {
        "n_points": points.n_points,
        "n_measurements": points.n_measurements,
        "n_mosaics": points.n_mosaics,
        **({"points": dg.MetadataValue.path(points.path)} if points.path else {}),
    }


def describe_variability(measured: DayOfVariability) -> Metadata:
    """Plot V against eta, and list the sources flagged as variable."""
    table, facts = measured.table, measured.table.facts
    chosen = [int(i) for i in table.is_variable.nonzero()[0]]
    chosen.sort(key=lambda i: -float(table.eta[i]))
    floor = facts.systematic_floor
    return {
        "plane": preview(measured.png, "log V against log eta"),
        "plane_finer": drawing(measured.png, "log V against log eta"),
        "patterns": drawing(measured.patterns_png, "annual and daily patterns of the references"),
        "systematics": listed(
            {
                "cause": name,
                "amplitude_percent": _short(100 * found["amplitude"]),
                "error_percent": _short(100 * found["error"]),
                "sigma": _short(found["sigma"]),
                "removed": "yes" if found["is_removed"] else "no",
            }
            for name, found in facts.systematics.items()
        ),
        "n_intrinsic": int((table.intrinsic_probability >= 0.5).sum()),
        "n_sources": len(table),
        "n_points": measured.n_points,
        "n_variables": len(chosen),
        "n_pair_variables": int(table.is_pair_variable.sum()),
        "n_references": facts.n_references,
        **(
            {"systematic_floor": round(floor, 5)}
            if math.isfinite(floor)
            else {"floor": "not measured: too few reference sources; 0 is used"}
        ),
        "variables": listed(
            {
                "source": str(table.source_id[i]),
                "n_epochs": int(table.n_epochs[i]),
                "mean_flux_mjy": _short(1e3 * table.mean_flux_jy[i]),
                "eta": _short(table.eta[i]),
                "V": _short(table.v[i]),
                "modulation_index": _short(table.modulation_index[i]),
                "pair_vs": _short(table.pair_vs[i]),
                "pair_m": _short(table.pair_m[i]),
            }
            for i in chosen[:_MAX_LISTED]
        ),
        "measures": dg.MetadataValue.path(measured.path),
    }


def describe_candidates(searched: Searched, marks: Mapping[str, MarkRecord]) -> Metadata:
    """List the candidates, and describe the search and the rejected dips."""
    return {
        "n_candidates": len(searched.candidates),
        "n_new": len(searched.new),
        "n_withdrawn": len(searched.withdrawn),
        "n_refused": len(searched.rejected),
        "threshold": _short(searched.threshold),
        **({"own_alarms": searched.alarms.words()} if searched.alarms else {}),
        "source_years": _short(searched.source_years),
        "n_sources": searched.n_sources,
        "summary": searched.words,
        "candidates": listed(_line(c, marks.get(c.id)) for c in searched.candidates[:_MAX_LISTED]),
        "refused": listed(
            {
                "source": r.source_id,
                "middle": str(utc_day(r.mid_mjd)),
                "width_days": _short(r.width_days),
                "score": _short(r.score),
                "why": r.outcome.value,
            }
            for r in searched.rejected[:_MAX_LISTED]
        ),
        "n_not_searched": len(searched.unsearched),
        "not_searched": listed(
            {"source": u.source_id, "why": u.reason} for u in searched.unsearched[:_MAX_LISTED]
        ),
    }


def describe_cards(drawn: DrawnCards, root: Path) -> Metadata:
    """Count the cards, and show the first ones."""
    first = list(drawn.cards.items())[:_MAX_CARDS]
    return {
        "n_cards": len(drawn.cards),
        "n_failed": len(drawn.failed),
        **{f"card_{number}": drawing(png, name) for number, (name, png) in enumerate(first, 1)},
        "cards": dg.MetadataValue.path(root),
    }


def describe_cutouts(cut: ManyCutouts, root: Path) -> Metadata:
    """Count the cutouts and their sources."""
    return {
        "n_sources": len(cut.sources),
        "n_made": sum(len(s.made) for s in cut.sources),
        "n_kept": sum(len(s.kept) for s in cut.sources),
        "n_gone": sum(len(s.gone) for s in cut.sources),
        "n_failed": len(cut.failed) + sum(len(s.failed) for s in cut.sources),
        "n_removed": len(cut.removed),
        "last": preview(next(reversed(cut.sources[0].pngs.values())), "last cutout")
        if cut.sources and cut.sources[0].pngs
        else "none",
        "cutouts": dg.MetadataValue.path(root),
    }


def describe_export(exported: Exported) -> Metadata:
    """Describe the documents that were written."""
    return {
        "index": dg.MetadataValue.path(exported.index),
        "n_pages": exported.n_pages,
        "n_written": exported.n_written,
        "size_mb": _short(exported.size_bytes / 1e6),
        **{f"n_{name}": n for name, n in exported.counts.items()},
        "dashboard": "`contimg dashboard` serves it",
    }


def describe_sky(mapped: MappedSky) -> Metadata:
    """Describe the maps of the sky."""
    return {
        "n_mosaics": mapped.n_mosaics,
        "n_made": mapped.n_made,
        "n_left": mapped.n_left,
        "maps": listed(
            {
                "map": layer.name,
                "tiles": layer.n_tiles,
                "made": layer.n_made,
                "square_degrees": _short(layer.sky_fraction * 41_252.96),
            }
            for layer in mapped.layers
        ),
        "skipped": mapped.skipped or "no",
        "directory": dg.MetadataValue.path(mapped.directory),
    }


def _line(candidate: CandidateRecord, mark: MarkRecord | None) -> Metadata:
    depth, width_days = candidate.parameters.in_words()
    return {
        "candidate": candidate.id,
        "source": candidate.source_id,
        "state": candidate.state.value,
        "middle": str(utc_day(candidate.mid_mjd)),
        "depth_percent": depth,
        "width_days": width_days,
        "score": _short(candidate.score),
        "mark": mark.mark.value if mark else "",
    }


def _short(value: float) -> float | str:
    number = float(value)
    return float(f"{number:.4g}") if math.isfinite(number) else ""


def _observed(observation: ObservationRecord, log: DayLog) -> Metadata:
    image = log.images.get(observation.key)
    return {
        "key": observation.key,
        "state": observation.state.value,
        "calibrator": observation.calibrator,
        "rms_mjy": "" if image is None or image.rms_mjy is None else _short(image.rms_mjy),
        "reason": observation.reason,
    }
