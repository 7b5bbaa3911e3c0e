"""Describe the sub-bands of an observation as an observation, before any visibility is read.

Belongs here: what headers and times determine: fields, antennas with data, band, calibrators.
Doesn't: what only the visibilities show, such as dead antennas (see
`contimg_resources.observations.reading`); grouping files (see `arrival`).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.correlator.arrival import SubBandGroup
from contimg_resources.correlator.layout import layout_of
from contimg_resources.correlator.model import missing_in_words
from contimg_resources.correlator.phasing import Sky
from contimg_resources.correlator.sub_band import SUB_BAND_HZ, SubBand
from contimg_resources.correlator.tables import CODES
from contimg_resources.correlator.uvh5 import opened_sub_band
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.model import (
    Antenna,
    Observation,
    ObservationOrigin,
    ObservedField,
    SpectralWindow,
    SubBandFile,
)
from contimg_resources.observations.reading import calibrators_in_beam
from contimg_resources.settings import ArrivalSettings


def describe_sub_bands(
    group: SubBandGroup,
    files: Sequence[SubBandFile],
    ms: Path,
    *,
    calibrators: CalibratorList,
    settings: ArrivalSettings,
) -> Observation:
    """Describe an observation of which the headers of the sub-bands are known.

    One file is opened for its antennas; no visibility is read.

    Parameters
    ----------
    group : SubBandGroup
        The sub-bands.
    files : sequence of SubBandFile
        Their files, by number.
    ms : Path
        Place of the MS that is made of them.
    calibrators : CalibratorList
        Known calibrators.
    settings : ArrivalSettings
        Distance and flux density at which a calibrator is listed.

    Raises
    ------
    UnreadableObservation
        If no declination is known.
    UnreadableSubBand
        If the file's rows or antennas are implausible.
    """
    head = group.sub_bands[0]
    if not np.isfinite(head.declination_deg):
        raise UnreadableObservation(
            f"{head.path} doesn't state where the dishes pointed (phase_center_app_dec, or "
            "phase_center_dec among its extra_keywords); `contimg uvh5 convert --dec` converts it",
            path=str(head.path),
        )
    with opened_sub_band(head.path) as file:
        layout = layout_of(file, head.path)
    ra_rad, dec_rad = Sky.at(layout.time_jd, layout.site).meridian_rad(
        float(np.radians(head.declination_deg))
    )
    fields = tuple(
        ObservedField(k, f"meridian_icrs_t{k}", float(ra), float(dec), float(mjd))
        for k, (ra, dec, mjd) in enumerate(
            zip(np.degrees(ra_rad), np.degrees(dec_rad), layout.time_mjd, strict=True)
        )
    )
    windows = _windows(group.sub_bands)
    names = dict(zip(layout.numbers.tolist(), layout.names, strict=True))
    flagged = len(group.missing) / N_SPECTRAL_WINDOWS
    used = np.union1d(layout.first, layout.second).tolist()
    return Observation(
        path=ms,
        telescope=head.telescope,
        start_mjd=group.begin_mjd,
        end_mjd=head.end_mjd,
        mid_mjd=group.mid_mjd,
        fields=fields,
        declination_deg=sum(f.dec_deg for f in fields) / len(fields),
        antennas=tuple(Antenna(k, names[k], True, flagged) for k in used),
        spectral_windows=windows,
        correlations=tuple(sorted(head.polarisations, key=CODES.__getitem__)),
        integration_s=head.integration_s,
        n_integrations=head.n_integrations,
        n_rows=head.n_integrations * N_SPECTRAL_WINDOWS * head.n_baselines,
        flagged_fraction=flagged,
        calibrators=calibrators_in_beam(
            fields,
            windows,
            calibrators,
            settings,
            telescope=head.telescope,
            dish_diameter_m=float(np.median(layout.diameters_m)),
        ),
        signature=signature_of(files),
        notes=(missing_in_words(group.missing),) if group.missing else (),
        origin=ObservationOrigin.SUB_BANDS,
        sub_bands=tuple(files),
    )


def signature_of(files: Sequence[SubBandFile]) -> str:
    """Return the signature of sub-band files: their names, sizes and modification times."""
    lines = "".join(f"{f.path.name}\0{f.size_bytes}\0{f.modified_ns}\n" for f in files)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _windows(sub_bands: Sequence[SubBand]) -> tuple[SpectralWindow, ...]:
    """Return all windows by frequency; those of missing sub-bands lie beside the others."""
    known = {s.number: s for s in sub_bands}
    low, high = min(known), max(known)
    step_hz = -SUB_BAND_HZ
    if high > low:
        step_hz = (known[high].low_hz - known[low].low_hz) / (high - low)
    found = []
    for number in range(N_SPECTRAL_WINDOWS - 1, -1, -1):
        near = known[min(known, key=lambda k: abs(k - number))]
        moved_hz = (number - near.number) * step_hz
        found.append(
            SpectralWindow(
                number,
                near.low_hz + moved_hz,
                near.high_hz + moved_hz,
                near.channel_width_hz,
                near.n_channels,
            )
        )
    return tuple(found)
