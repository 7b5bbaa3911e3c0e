"""``contimg beam``: the measured primary beam beside the model.

Belongs here: arguments and output. Doesn't: rules, measuring.
"""

from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, remark
from contimg_resources.cli.given import given_settings, opened_workshop

_SHOWN = 20
_COLUMNS = ("width", "east (deg)", "north (deg)", "ellipticity")


def beam(
    days: Annotated[
        float | None,
        typer.Option(min=0.01, help="Number of days that count. Default: from the settings."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the primary beam that the sources of the last days measured, beside the model.

    Width is relative to the model; east is toward smaller hour angles; the beam is wider by the
    ellipticity from east to west, and narrower from north to south.

    Example: `contimg beam --days 30`
    """
    settings = given_settings()
    products = opened_workshop(settings).products
    report = products.primary_beams.present(settings.primary_beam.days if days is None else days)
    estimate = report.estimate
    if as_json:
        print_json(
            {
                "telescope": report.telescope,
                "estimate": estimate,
                "by_frequency": report.by_frequency,
                "is_significant": report.better is not None,
                "is_used": report.better is not None and settings.primary_beam.use,
                "observed": report.observed,
            }
        )
        return
    if estimate is None:
        remark("no observation has measured the primary beam yet")
        return
    remark(f"{report.telescope}: {report.in_words()}")
    if report.better is not None:
        what = "the measured beam" if settings.primary_beam.use else "the model (primary_beam.use)"
        remark(f"images of the next UTC day are corrected for {what}")
    print_table(
        ("band", "MHz", *_COLUMNS, "observations", "sources"),
        [
            (
                one.name,
                f"{one.frequency_hz / 1e6:.0f}",
                *(
                    f"{value:+.3f} +- {error:.3f}"
                    for value, error in zip(
                        one.shape.beside_model, one.errors.parameters, strict=True
                    )
                ),
                f"{one.n_observations} ({one.n_left_out} left out)",
                one.n_sources,
            )
            for one in (estimate, *report.by_frequency)
        ],
        title="Primary beam, measured minus model",
    )
    last = [(one, fit) for one in report.observed[-_SHOWN:] if (fit := one.fit()) is not None]
    print_table(
        ("observation", *_COLUMNS, "scale", "scatter", "sources", "corrected for"),
        [
            (
                one.key,
                *(f"{value:+.3f}" for value in fit.shape.beside_model),
                f"{fit.scale:.3f}",
                f"{fit.scatter:.0%}",
                f"{fit.n_sources} ({fit.n_rejected} rejected)",
                "model" if one.measured.used.is_model else "measured beam",
            )
            for one, fit in last
        ],
        title=f"The last {len(last)} of {len(report.observed)} observations",
    )
