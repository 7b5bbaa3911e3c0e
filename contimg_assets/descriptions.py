"""Metadata of each materialization, shown on its page.

Belongs here: the metadata of results. The names of numbers never change and end with the unit:
Dagster plots each number over the partitions.
Doesn't: measuring; reporting anything else to Dagster (see `contimg_assets.telling`).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from contimg_assets.telling import drawing, listed, preview
from contimg_resources.calibration.antenna_record import ObservedAntennas
from contimg_resources.calibration.solve.model import SolvedCaltable
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.imaging.model import ImageFiles, Source, SubBandImage
from contimg_resources.mosaics.model import TileInMosaic
from contimg_resources.products.model import ImageRecord, ObservationRecord
from contimg_resources.registry.model import ActiveCaltables, CaltableSet
from contimg_resources.steps.arriving import Arrived
from contimg_resources.steps.calibrating import Calibrated
from contimg_resources.steps.converting import MeasurementSetMade
from contimg_resources.steps.finding import FoundInMosaic
from contimg_resources.steps.imaging import Imaged
from contimg_resources.steps.mosaicking import Mosaicked
from contimg_resources.steps.photometry import Measured
from contimg_resources.steps.reprocessing import Chosen
from contimg_resources.steps.solving import Solved
from contimg_resources.steps.stale_days import StaleFound
from contimg_resources.steps.sub_bands import MeasuredSpectra

Metadata = dict[str, Any]

#: Maximum number of sources listed on an image's page.
_MAX_SOURCES = 20
#: Maximum number of stale observations listed on the check's page.
MOST_STALE = 50


def describe_arrival(arrived: Arrived) -> Metadata:
    """Describe an MS, or sub-band files, that arrived."""
    observation = arrived.observation
    files = observation.sub_bands
    low_hz, high_hz = observation.band_hz
    return _tidy(
        {
            "path": dg.MetadataValue.path(files[0].path.parent if files else observation.path),
            "n_sub_bands": len(files) or None,
            "outcome": arrived.outcome.value,
            "start_utc": isot_from_mjd(observation.start_mjd),
            "end_utc": isot_from_mjd(observation.end_mjd),
            "mid_mjd": observation.mid_mjd,
            "declination_deg": observation.declination_deg,
            "n_integrations": observation.n_integrations,
            "n_antennas_working": len(observation.working_antennas),
            "n_antennas": len(observation.antennas),
            "band_mhz": f"{low_hz / 1e6:.3f} - {high_hz / 1e6:.3f}",
            "flag_fraction": observation.flagged_fraction,
            "calibrators": ", ".join(
                f"{c.name} ({c.apparent_flux_jy:.2f} Jy apparent)" for c in observation.calibrators
            )
            or "none",
            "caltables": arrived.reason,
            "n_repeated_rows": observation.n_repeated_rows,
            "notes": "; ".join(observation.notes) or None,
        }
    )


def describe_measurement_set(made: MeasurementSetMade) -> Metadata:
    """Describe the MS of an observation, and the sub-band files that it was made of."""
    observation, conversion = made.observation, made.conversion
    missing = ", ".join(map(str, observation.missing_sub_bands))
    is_there = made.made is not None or not observation.sub_bands
    return _tidy(
        {
            "path": dg.MetadataValue.path(observation.path) if is_there else None,
            "origin": _origin_of_ms(made),
            "mid_mjd": observation.mid_mjd,
            "n_rows": observation.n_rows,
            "flag_fraction": observation.flagged_fraction,
            "n_antennas_working": len(observation.working_antennas),
            "n_sub_bands": len(observation.sub_bands) if made.made else None,
            "missing_sub_bands": (missing or "none") if made.made else None,
            "size_bytes": made.made.size_bytes if made.made else None,
            "engine_s": made.engine_s if conversion else None,
            "notes": "; ".join(observation.notes) or None,
        }
    )


def _origin_of_ms(made: MeasurementSetMade) -> str:
    if made.made is not None:
        return "made of sub-band files"
    return (
        "no MS: sub-bands calibrated directly" if made.observation.sub_bands else "arrived as an MS"
    )


def describe_set(solved: Solved) -> Metadata:
    """Describe the quality of a solve, and the contents of the set."""
    result = solved.result
    return _tidy(
        {
            **_describe_registered(solved.set),
            "calibrator": result.calibrator,
            "refant": f"{result.refant}: {result.refant_reason}",
            "valid_from_utc": isot_from_mjd(solved.set.start_mjd),
            "valid_until_utc": isot_from_mjd(solved.set.end_mjd),
            "flag_fraction": result.flagged_fraction,
            "n_antennas_working": result.working_antennas,
            "engine_s": solved.engine_s,
            **{f"median_snr_{t.type.value.lower()}": t.quality.median_snr for t in result.tables},
            **{
                f"flag_fraction_{t.type.value.lower()}": t.quality.flagged_fraction
                for t in result.tables
            },
            "quality": listed(_quality(t) for t in result.tables),
            "solutions": drawing(result.plots[0], solved.set.name) if result.plots else None,
            "plots": dg.MetadataValue.md(
                "\n".join(f"- `{plot}`" for plot in (*result.plots, *solved.diagnostics)) or "none"
            ),
            "notes": "; ".join(solved.notes) or None,
        }
    )


def describe_calibrated(calibrated: Calibrated) -> Metadata:
    """Describe the applied set, with version and checksums, and the flagged fractions."""
    result, conversion = calibrated.result, calibrated.conversion
    return _tidy(
        {
            "ms": dg.MetadataValue.path(result.ms),
            "n_sub_bands": None if conversion is None else len(conversion.sub_bands),
            **_describe_active(calibrated.active),
            "flag_fraction": result.flagged_fraction,
            "flag_fraction_arrived": result.input_flagged_fraction,
            "flag_fraction_rfi": result.rfi_flagged_fraction,
            "n_antennas_working": len(result.working_antennas),
            "n_rows": result.n_rows,
            "engine_s": calibrated.engine_s,
            **_direction("phase_center", result.phase_center_deg),
        }
    )


def describe_image(imaged: Imaged) -> Metadata:
    """Show the image, and describe its quality and caltable set."""
    result, statistics = imaged.result, imaged.result.statistics
    return _tidy(
        {
            "image": preview(result.files.thumbnail, imaged.observation.key),
            "image_finer": drawing(result.files.png, imaged.observation.key),
            "caltable_set": imaged.calibrated.set_name,
            "caltable_version": imaged.calibrated.set_version,
            "caltable_borrowed": imaged.calibrated.borrowed,
            "rms_mjy": 1e3 * statistics.rms_jy,
            "residual_rms_mjy": 1e3 * statistics.residual_rms_jy,
            "expected_rms_mjy": 1e3 * statistics.expected_rms_jy,
            "peak_jy": statistics.peak_jy,
            "dynamic_range": statistics.dynamic_range,
            "bmaj_arcsec": statistics.beam.major_arcsec,
            "bmin_arcsec": statistics.beam.minor_arcsec,
            "bpa_deg": statistics.beam.angle_deg,
            "n_sources": statistics.n_sources,
            "n_clean_iterations": result.n_iterations,
            "in_field_calibration": None if result.in_field is None else result.in_field.why,
            **_antennas(imaged.antennas),
            "outside_sources": None if result.outside is None else result.outside.why,
            "engine": result.engine,
            "engine_s": imaged.engine_s,
            "image_size_pixels": result.grid.size,
            "cell_arcsec": result.grid.cell_arcsec,
            "frequency_mhz": result.frequency_hz / 1e6,
            **_direction("center", (result.grid.ra_deg, result.grid.dec_deg)),
            "n_sub_bands": len(result.sub_bands),
            "sub_bands": listed(_sub_band(b) for b in result.sub_bands),
            "no_sub_bands": listed(
                {"sub-band": name, "why": why} for name, why in result.no_sub_bands.items()
            )
            if result.no_sub_bands
            else None,
            "sources": listed(_source(s) for s in result.sources[:_MAX_SOURCES]),
            "files": dg.MetadataValue.path(result.directory),
        }
    )


def _antennas(observed: ObservedAntennas) -> Metadata:
    """Return which antennas are at fault and which are left out, with the reasons."""
    shown = {
        name: {
            "antenna": name,
            "fault": observed.faults.get(name, ""),
            "left out": observed.left_out.get(name, ""),
        }
        for name in (*observed.faults, *observed.left_out)
    }
    return {
        "n_antennas_at_fault": len(observed.faults),
        "n_antennas_left_out": len(observed.left_out),
        "antennas": listed(shown.values()) if shown else None,
    }


def describe_added(record: ObservationRecord, image: ImageRecord | None, files: Path) -> Metadata:
    """Show an image that was made elsewhere, and its origin."""
    thumbnail = ImageFiles.in_directory(files, record.key).thumbnail
    numbers = {} if image is None else asdict(image)
    return _tidy(
        {
            "image": preview(thumbnail, record.key) if thumbnail.is_file() else None,
            "made_elsewhere": dg.MetadataValue.path(record.path),
            "declination_deg": record.declination_deg,
            **{
                name: numbers.get(name)
                for name in (
                    *("rms_mjy", "peak_jy", "dynamic_range"),
                    *("bmaj_arcsec", "bmin_arcsec", "bpa_deg", "n_sources"),
                )
            },
            "files": dg.MetadataValue.path(files),
        }
    )


def describe_mosaic(made: Mosaicked) -> Metadata:
    """Show the mosaic, and describe its quality and tiles."""
    result, statistics = made.result, made.result.statistics
    return _tidy(
        {
            "mosaic": preview(result.files.thumbnail, result.key),
            "mosaic_finer": drawing(result.files.png, result.key),
            "n_tiles": statistics.n_tiles,
            "n_refused": len(result.refused),
            "deepest_tiles": statistics.deepest_tiles,
            "rms_mjy": 1e3 * statistics.rms_jy,
            "expected_rms_mjy": 1e3 * statistics.expected_rms_jy,
            "rms_ratio": statistics.rms_ratio,
            "peak_jy": statistics.peak_jy,
            "observed_deg2": statistics.observed_deg2,
            "bmaj_arcsec": result.beam.major_arcsec,
            "bmin_arcsec": result.beam.minor_arcsec,
            "bpa_deg": result.beam.angle_deg,
            "frequency_mhz": result.frequency_hz / 1e6,
            "built_anew": result.rebuilt,
            "n_added": len(result.added),
            **_direction("center", (result.grid.ra_deg, result.grid.dec_deg)),
            "tiles": listed(_tile(t) for t in result.tiles),
            "refused": listed({"observation": k, "why": why} for k, why in result.refused.items()),
            "files": dg.MetadataValue.path(result.directory),
        }
    )


def describe_measured(measured: Measured, spectra: MeasuredSpectra | None = None) -> Metadata:
    """Describe the measured sources, the flux scale and astrometry of the epoch, and spectra."""
    record, scale = measured.record, measured.scale
    return _tidy(
        {
            "sources": preview(measured.marked, "sources"),
            "sources_finer": drawing(measured.marked, "measured sources"),
            "epoch": drawing(measured.png, "flux ratios and offsets"),
            "n_sources": record.n_sources,
            "n_measured": record.n_measured,
            "n_detected": measured.n_detected,
            "epoch_ok": record.epoch_ok,
            "why_not": record.reason or "none",
            "n_references": scale.n_references,
            "catalogue": record.catalogue,
            **{
                name: value
                for name, value in (
                    ("flux_scale", scale.scale),
                    ("flux_scale_error", scale.error),
                    ("flux_scale_scatter", scale.scatter),
                    ("offset_east_arcsec", scale.east_arcsec),
                    ("offset_north_arcsec", scale.north_arcsec),
                )
                if math.isfinite(value)
            },
            "measurements": dg.MetadataValue.path(record.path),
            **({} if spectra is None else _describe_spectra(spectra)),
        }
    )


def _describe_spectra(spectra: MeasuredSpectra) -> Metadata:
    missing = [{"sub-band": name, "why": why} for name, why in spectra.reasons.items()]
    return {
        "n_sub_bands": len(spectra.bands),
        "n_spectra": spectra.n_spectra,
        "sub_bands": listed(
            {
                "sub-band": band.band,
                "frequency_mhz": round(band.frequency_hz / 1e6, 3),
                "measured": band.written.n_measured,
                "checks": "; ".join(v.words for v in band.verdicts),
            }
            for band in spectra.bands
        ),
        "no_sub_bands": listed(missing) if missing else None,
        "spectra": None if spectra.path is None else dg.MetadataValue.path(spectra.path),
    }


def describe_found(found: FoundInMosaic) -> Metadata:
    """Describe the found sources, and the completeness and reliability of their list."""
    complete, reliable = found.completeness, found.reliability
    return _tidy(
        {
            "dagster/row_count": found.n_sources,
            "n_rejected": found.n_rejected,
            "n_extended": found.n_extended,
            "n_blended": found.n_blended,
            "n_catalogued": found.n_catalogued,
            "n_expected": round(found.n_expected, 1),
            "detection_snr": found.min_snr,
            "completeness": listed(
                {
                    "snr": f"{low:g} to {high:g}",
                    "injected": int(injected),
                    "found": int(n),
                    "flux_ratio": round(float(ratio), 4) if math.isfinite(ratio) else None,
                }
                for low, high, injected, n, ratio in zip(
                    complete.snr_from,
                    complete.snr_to,
                    complete.injected,
                    complete.found,
                    complete.flux_ratio,
                    strict=True,
                )
            ),
            "completeness_at_flux": listed(
                {"flux_mjy": round(1e3 * float(flux), 3), "completeness": round(float(share), 3)}
                for flux, share in zip(complete.flux_jy, complete.at_flux, strict=True)
                if math.isfinite(flux) and math.isfinite(share)
            ),
            "reliability": listed(
                {"snr_above": float(snr), "found": int(n), "negative": int(negative)}
                for snr, n, negative in zip(
                    reliable.snr, reliable.n_found, reliable.n_negative, strict=True
                )
            ),
            "list": dg.MetadataValue.path(found.path),
            "votable": dg.MetadataValue.path(found.product.companions[0].path),
        }
    )


def describe_reprocessed(chosen: Sequence[Chosen], backfill_id: str | None) -> Metadata:
    """List the observations that are reprocessed, their backfill, and those left out."""
    left_out = [c for c in chosen if c.hindrance]
    return {
        "n_observations": len(chosen) - len(left_out),
        "n_left_out": len(left_out),
        "backfill": dg.MetadataValue.md(f"[{backfill_id}](/runs/b/{backfill_id})")
        if backfill_id
        else "none",
        "left_out": listed({"observation": c.key, "why": c.hindrance} for c in left_out),
    }


def describe_stale(stale: StaleFound) -> Metadata:
    """List the observations whose products are stale."""
    return {
        "n_stale": stale.n,
        "stale": listed(
            {
                "observation": s.key,
                "made with": s.applied,
                "would get now": s.now or "none",
                "why": s.why,
            }
            for s in stale.listed
        ),
    }


def _tidy(metadata: Metadata) -> Metadata:
    """Return the metadata that isn't None, with floats rounded, which is easier to read."""
    return {
        name: _shortened(name, value) if isinstance(value, float) else value
        for name, value in metadata.items()
        if value is not None
    }


def _shortened(name: str, value: float) -> float:
    # Times and directions need their decimals.
    return round(value, 6) if name.endswith(("_mjd", "_deg")) else float(f"{value:.5g}")


def _describe_active(active: ActiveCaltables) -> Metadata:
    return {
        **_describe_registered(active.set),
        "caltable_age_h": active.age_h,
        "caltable_borrowed": active.borrowed,
    }


def _describe_registered(caltables: CaltableSet) -> Metadata:
    return {
        "caltable_set": caltables.name,
        "caltable_version": caltables.version,
        "n_caltables": len(caltables.tables),
        "caltables": listed(
            {
                "order": table.apply_order,
                "type": table.type.value,
                "path": str(table.path),
                "checksum": table.checksum,
            }
            for table in caltables.tables
        ),
    }


def _quality(table: SolvedCaltable) -> Metadata:
    quality = table.quality
    return {
        "type": table.type.value,
        "median_snr": _rounded(quality.median_snr),
        "flag_fraction": round(quality.flagged_fraction, 4),
        "amplitude_scatter": _rounded(quality.amplitude_scatter),
        "phase_scatter_deg": _rounded(quality.phase_scatter_deg),
        "solutions": quality.n_solutions,
        "dead_antennas": quality.n_dead_antennas,
    }


def _source(source: Source) -> Metadata:
    return {
        "ra_deg": round(source.ra_deg, 5),
        "dec_deg": round(source.dec_deg, 5),
        "flux_jy": round(source.flux_jy, 5),
        "error_jy": round(source.flux_error_jy, 5),
        "snr": round(source.snr, 1),
        "primary_beam": round(source.primary_beam, 3),
    }


def _sub_band(band: SubBandImage) -> Metadata:
    return {
        "sub-band": band.name,
        "frequency_mhz": round(band.frequency_hz / 1e6, 3),
        "rms_mjy": _rounded(1e3 * band.rms_jy),
        "expected_rms_mjy": _rounded(1e3 * band.expected_rms_jy),
        "bmaj_arcsec": round(band.beam.major_arcsec, 2),
        "bmin_arcsec": round(band.beam.minor_arcsec, 2),
    }


def _tile(tile: TileInMosaic) -> Metadata:
    return {
        "observation": tile.key,
        "rms_mjy": _rounded(1e3 * tile.rms_jy),
        "bmaj_arcsec": round(tile.beam.major_arcsec, 2),
        "bmin_arcsec": round(tile.beam.minor_arcsec, 2),
    }


def _direction(name: str, ra_dec_deg: tuple[float, float] | None) -> Metadata:
    if ra_dec_deg is None:
        return {}
    return {f"{name}_ra_deg": ra_dec_deg[0], f"{name}_dec_deg": ra_dec_deg[1]}


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)
