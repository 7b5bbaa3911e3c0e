"""The asset of new sources, and the metadata of its materializations.

Belongs here: when the search runs and what its page shows. Doesn't: the search (see
`contimg_resources.steps.new_sources`).
"""

import math
from collections.abc import Iterator

import dagster as dg

from contimg_assets.descriptions import Metadata
from contimg_assets.failures import told_to_dagster
from contimg_assets.partitions import mosaic_key_of, mosaic_mjd
from contimg_assets.photometry import forced_photometry, found_sources
from contimg_assets.telling import listed, log_progress
from contimg_resources.core.times import utc_day
from contimg_resources.products.new_sources import NewSourceRecord
from contimg_resources.steps.new_sources import NewInMosaic, find_new
from contimg_resources.steps.photometry import Unmeasured
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

_MAX_LISTED = 30


@dg.asset(
    partitions_def=mosaic_mjd,
    deps=[found_sources, forced_photometry],
    output_required=False,
    group_name="photometry",
    kinds={"sqlite"},
    owners=["team:variability"],
    tags={"stage": "photometry"},
    code_version="1",
    # One at a time: two mosaics of a transit have the same new sources.
    pool="mosaics",
)
@uses("settings", "products", "catalogues")
def new_sources(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Find the sources of a mosaic that neither the catalogue nor earlier epochs have.

    Detections of the lists of found sources are associated over epochs; those that are more than
    false alarms are named and measured on the mosaics of earlier epochs, whose measurements gain
    rows, and from then on with the catalogue's sources. Those that earlier epochs exclude become
    candidates.
    """
    with told_to_dagster():
        found = find_new(
            workshop,
            mosaic_key_of(context),
            run_id=context.run.run_id,
            progress=log_progress(context),
        )
        if isinstance(found, Unmeasured):
            context.log.warning(f"not searched: {found.reason}")
            return
        context.log.info(found.words)
        for epoch, record in found.measured.items():
            # Dagster shows where the measurements of a partition come from.
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=forced_photometry.key,
                    partition=epoch,
                    description="new sources were added",
                    metadata={
                        "n_sources": record.n_sources,
                        "n_measured": record.n_measured,
                        "measurements": dg.MetadataValue.path(record.path),
                    },
                )
            )
        yield dg.MaterializeResult(metadata=describe_new(found))


def describe_new(found: NewInMosaic) -> Metadata:
    """Count and list the sources that the catalogue lacks, events first."""
    events = {c.id for c in found.candidates}
    ordered = sorted(found.sources, key=lambda s: (s.name not in events, s.name))
    return {
        "n_candidates": len(found.candidates),
        "n_uncatalogued": len(found.sources) - len(found.candidates),
        "n_named": len(found.named),
        "n_withdrawn": len(found.withdrawn),
        "n_detections": found.n_detections,
        "n_unconfirmed": found.n_unconfirmed,
        "n_earlier_mosaics": found.n_earlier,
        "n_measured_back": len(found.measured),
        "summary": found.words,
        "sources": listed(_line(source) for source in ordered[:_MAX_LISTED]),
        "not_used": listed(
            {"name": name, "why": why} for name, why in list(found.failed.items())[:_MAX_LISTED]
        ),
    }


def _line(source: NewSourceRecord) -> Metadata:
    told = source.evidence
    first = told.first_mjd
    return {
        "source": source.name,
        "state": source.state.value,
        "first_found": str(utc_day(first)) if math.isfinite(first) else "",
        "flux_mjy": _mjy(told.flux_jy),
        "earlier_mjy": _mjy(told.earlier_jy),
        "upper_limit_mjy": _mjy(told.upper_limit_jy),
        "significance": round(told.significance, 1) if math.isfinite(told.significance) else "",
        "why_no_event": told.reason,
    }


def _mjy(value_jy: float) -> float | str:
    return round(1e3 * value_jy, 3) if math.isfinite(value_jy) else ""
