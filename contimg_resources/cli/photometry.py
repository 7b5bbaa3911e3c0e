"""``contimg photometry`` and ``contimg lightcurve``: flux densities of catalogue sources.

Belongs here: arguments and output. Doesn't: the steps, which the assets call too.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.core.errors import ConfigurationError

if TYPE_CHECKING:
    from contimg_resources.photometry.light_curves import LightCurve
    from contimg_resources.photometry.spectral_indices import SpectraOfSource
    from contimg_resources.steps.workshop import Workshop

_SHOWN = 40
_KINDS: tuple[Literal["image", "mosaic"], ...] = ("mosaic", "image")


def photometry(
    key: Annotated[
        str | None,
        typer.Argument(
            help="A mosaic (`61041.02083+54.6`) or an observation (`61041.00347`). Default: list "
            "the measured epochs."
        ),
    ] = None,
    subband: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of a sub-band, such as `low`: measure a mosaic of this sub-band that was "
            "made elsewhere. Needs --image.",
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FITS",
            help="The mosaic of the sub-band, corrected for the primary beam, with its "
            "frequency in the header.",
        ),
    ] = None,
    sigma: Annotated[
        Path | None,
        typer.Option(
            metavar="FITS",
            help="Its noise map, Jy/beam. Default: a slowly varying noise is assumed.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure every catalogue source on a mosaic or a 5-minute image.

    On a mosaic also in each sub-band of its images, with the sources' spectral indices.

    Exit code 1 when no source can be measured. An epoch with a bad flux scale is kept and marked.

    Example: `contimg photometry 61041.02083+54.6`, or
    `contimg photometry 61041.02083+54.6 --subband low --image low.fits --sigma low.sigma.fits`
    """
    from contimg_resources.core.keys import is_partition_key
    from contimg_resources.steps.photometry import Unmeasured, measure_image, measure_mosaic
    from contimg_resources.steps.sub_bands import MeasuredSpectra, measure_sub_bands

    workshop = opened_workshop(given_settings())
    if (subband, image, sigma) != (None, None, None):
        if key is None or subband is None or image is None:
            raise ConfigurationError("a sub-band needs all of MOSAIC, --subband and --image")
        _photometry_of_subband(workshop, key, subband, image, sigma, as_json=as_json)
        return
    if key is None:
        epochs = workshop.products.mosaics.list_epochs()
        if as_json:
            print_json(epochs)
            return
        print_table(
            ("epoch", "kind", "measured", "scale", "good", "reason"),
            [
                (
                    e.epoch,
                    e.kind.value,
                    f"{e.n_measured} of {e.n_sources}",
                    None if e.scale is None else f"{e.scale:.3f}",
                    "yes" if e.epoch_ok else "no",
                    e.reason or None,
                )
                for e in epochs
            ],
        )
        return
    step = measure_image if is_partition_key(key) else measure_mosaic
    with progress(f"photometry {key}") as say:
        measured = step(workshop, key, progress=say)
        if isinstance(measured, Unmeasured):
            raise ConfigurationError(f"nothing to measure: {measured.reason}")
        spectra = None if is_partition_key(key) else measure_sub_bands(workshop, key, progress=say)
    if as_json:
        print_json(measured.record)
        return
    record = measured.record
    remark(
        f"{key}: {record.n_measured} of {record.n_sources} sources measured, "
        f"{measured.n_detected} above 5 sigma; {record.path}"
    )
    for verdict in measured.verdicts:
        remark(f"  {'good' if verdict.passed else 'BAD'}: {verdict.words}")
    if isinstance(spectra, MeasuredSpectra):
        remark(
            f"{key}: {spectra.n_spectra} spectral indices from {len(spectra.bands)} sub-bands"
            + (f"; {spectra.path}" if spectra.path else "")
        )
        for band, reason in spectra.reasons.items():
            remark(f"  no sub-band {band}: {reason}")
        remark(f"  {'good' if spectra.verdict.passed else 'BAD'}: {spectra.verdict.words}")


def _photometry_of_subband(
    workshop: "Workshop", key: str, band: str, image: Path, sigma: Path | None, *, as_json: bool
) -> None:
    from contimg_resources.steps.photometry import Unmeasured
    from contimg_resources.steps.sub_bands import measure_subband

    with progress(f"photometry {key} {band}") as say:
        measured = measure_subband(workshop, key, band, image, sigma, progress=say)
    if isinstance(measured, Unmeasured):
        raise ConfigurationError(f"nothing to measure: {measured.reason}")
    written = measured.written
    if as_json:
        print_json(written)
        return
    remark(
        f"{key} {band}: {written.n_measured} of {written.n_sources} sources measured at "
        f"{1e-9 * measured.frequency_hz:.4f} GHz; {written.path}"
    )
    for verdict in measured.verdicts:
        remark(f"  {'good' if verdict.passed else 'BAD'}: {verdict.words}")


def lightcurve(
    source: Annotated[str, typer.Argument(help="Id of a source: `nvss-013741+330935`.")],
    kind: Annotated[
        str, typer.Option(help="`mosaic`, or `image` for single 5-minute images.")
    ] = "mosaic",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plot the light curve as PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the flux densities of a source over all epochs, also for an added light curve.

    Example: `contimg lightcurve nvss-013741+330935 --plot lightcurve.png`
    """
    from contimg_resources.photometry.spectral_indices import spectra_of
    from contimg_resources.variability.added import light_curve_of

    kinds = {k: k for k in _KINDS}
    if kind not in kinds:
        raise ConfigurationError(f"--kind: {kind!r} is neither mosaic nor image")
    layout = given_settings().layout
    curve = light_curve_of(layout, source, kinds[kind])
    spectra = spectra_of(layout.photometry, source) if kind == "mosaic" else None
    if plot is not None:
        from contimg_resources.photometry.drawing import draw_light_curve

        draw_light_curve(plot, curve)
        remark(f"wrote {plot}")
    if as_json:
        print_json(_rows(curve, spectra))
        return
    rows = _rows(curve, spectra)[-_SHOWN:]
    has_index = any("spectral_index" in r for r in rows)
    # For a point source it equals the peak, with a larger error.
    integrated = any(r["extended"] for r in rows)
    print_table(
        (
            *("epoch", "MJD", "flux (mJy)", "error (mJy)"),
            *(("integrated (mJy)", "error (mJy)") if integrated else ()),
            *(("spectral index", "error") if has_index else ()),
            "remarks",
        ),
        [
            (
                r["epoch"],
                f"{r['mid_mjd']:.5f}",
                _mjy(r["flux_jy"]),
                _mjy(r["flux_error_jy"]),
                *(
                    _mjy(r[name]) if r["extended"] else None
                    for name in ("integrated_flux_jy", "integrated_error_jy")
                    if integrated
                ),
                *(
                    f"{r[name]:.2f}" if name in r else None
                    for name in ("spectral_index", "spectral_index_error")
                    if has_index
                ),
                "; ".join(r["remarks"]) or None,
            )
            for r in rows
        ],
        title=f"{source}: the last {len(rows)} of {len(curve)} epochs",
    )


def _rows(curve: "LightCurve", spectra: "SpectraOfSource | None") -> list[dict[str, Any]]:
    from contimg_resources.photometry.model import Flag, words

    index = {} if spectra is None else spectra.by_epoch()
    return [
        {
            "epoch": str(curve.epoch[i]),
            "kind": str(curve.kind[i]),
            "mid_mjd": float(curve.mid_mjd[i]),
            "flux_jy": float(curve.flux_jy[i]),
            "flux_error_jy": float(curve.flux_error_jy[i]),
            "integrated_flux_jy": float(curve.integrated_flux_jy[i]),
            "integrated_error_jy": float(curve.integrated_error_jy[i]),
            "extended": bool(curve.flags[i] & Flag.EXTENDED),
            **index.get(str(curve.epoch[i]), {}),
            "remarks": [
                *words(int(curve.flags[i])),
                *([] if curve.epoch_ok[i] else ["bad epoch"]),
            ],
        }
        for i in range(len(curve))
    ]


def _mjy(value: float) -> str | None:
    return f"{1e3 * value:.2f}" if math.isfinite(value) else None
