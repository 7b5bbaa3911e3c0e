"""``contimg observation``: contents of an MS or sub-band file, and history of an observation.

Belongs here: arguments and output. Doesn't: reading an MS, the products store.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson, ProductsAddress
from contimg_resources.cli.console import jsonable, print_json, print_lines, print_table, progress
from contimg_resources.cli.given import given_settings
from contimg_resources.core.times import isot_from_mjd

if TYPE_CHECKING:
    from contimg_resources.observations.model import Observation
    from contimg_resources.settings import Settings

app = typer.Typer(help="Observations: contents of a MeasurementSet, states and history.")


@app.command()
def show(
    ms: Annotated[
        Path,
        typer.Argument(metavar="MS|FILE", help="A MeasurementSet, or a sub-band file."),
    ],
    as_json: AsJson = False,
) -> None:
    """Read an MS and describe it; the MS isn't changed.

    For a sub-band file of the correlator, describe the file and the observation that it belongs to.

    Example: `contimg observation show /data/ms/2025-10-06T12:36:09.ms --json`
    """
    from contimg_resources.observations.scanning import UVH5_ENDINGS
    from contimg_resources.steps.workshop import Workshop, open_calibrators, open_casa

    settings = given_settings()
    if ms.is_file() and ms.name.lower().endswith(UVH5_ENDINGS):
        _show_sub_band(settings, ms.absolute(), as_json=as_json)
        return
    workshop = Workshop.with_parts(
        "contimg observation show",
        settings=settings,
        casa=open_casa(settings),
        calibrators=open_calibrators(settings),
    )
    with progress(ms.name):
        observation = workshop.read(ms)
    if as_json:
        print_json({"key": observation.key, **jsonable(observation)})
    else:
        print_lines(_lines(observation))


def _show_sub_band(settings: "Settings", path: Path, *, as_json: bool) -> None:
    """Describe a sub-band file, and the observation of the products store that has it."""
    from contimg_resources.cli.uvh5 import described, lines_of
    from contimg_resources.correlator.sub_band import read_sub_band
    from contimg_resources.products.store import ProductsStore

    header = read_sub_band(path)
    record = None
    if Path(settings.products_address).is_file() or "://" in settings.products_address:
        store = ProductsStore(settings.products_address, create=False, read_only=True)
        record = store.sub_bands.find(path)
    if as_json:
        print_json({"sub_band": described(header), "observation": record})
        return
    print_lines(lines_of(header))
    if record is None:
        print_lines(
            [
                "observation: none yet; `contimg uvh5 group` lists the observations that the files "
                "of its directory form"
            ]
        )
    else:
        print_lines(store.explain(record.key).splitlines())


@app.command("list")
def list_observations(
    products_db: ProductsAddress = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only this state: arrived, waiting, solved, calibrated, imaged or failed."
        ),
    ] = None,
    day: Annotated[
        int | None, typer.Option(help="Only observations of this UTC day, integer MJD.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of entries, the latest ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the observations of the platform in order of time, with their state and the reason.

    Example: `contimg observation list --status failed --day 61041`
    """
    from contimg_resources.products.model import ObservationState
    from contimg_resources.products.store import ProductsStore

    if status is not None and status not in list(ObservationState):
        raise typer.BadParameter(
            f"{status!r} is none of {', '.join(ObservationState)}", param_hint="--status"
        )
    store = ProductsStore(given_settings(products=products_db).products_address, create=False)
    records = store.list_observations(
        state=None if status is None else ObservationState(status), day=day, limit=limit
    )
    if as_json:
        print_json(records)
        return
    print_table(
        ("observation", "start (UTC)", "dec", "calibrator", "state", "step", "reason"),
        [
            (
                r.key,
                isot_from_mjd(r.start_mjd)[:19],
                f"{r.declination_deg:+.2f}",
                r.calibrator or None,
                r.state,
                r.step,
                r.reason,
            )
            for r in records
        ],
    )


@app.command()
def history(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Mid-MJD with five decimals, as listed.")
    ],
    products_db: ProductsAddress = None,
    as_json: AsJson = False,
) -> None:
    """Print the history of an observation, with reasons, and its products.

    Example: `contimg observation history 61041.00347`
    """
    from contimg_resources.products.store import ProductsStore

    store = ProductsStore(given_settings(products=products_db).products_address, create=False)
    if as_json:
        print_json(
            {
                "observation": store.get(key),
                "history": store.history(key),
                "artefacts": store.artefacts(key),
                "sub_bands": store.sub_bands.files(key),
                "notes": store.observation(key).notes,
                "image": store.image(key),
            }
        )
        return
    print_lines([store.explain(key)])


def _lines(observation: "Observation") -> list[str]:
    windows = observation.spectral_windows
    channels = sum(w.n_channels for w in windows)
    low_hz, high_hz = observation.band_hz
    working = observation.working_antennas
    calibrators = [
        f"{c.name}, {c.apparent_flux_jy:.2f} Jy apparent, nearest at {c.separation_deg:.2f} deg"
        for c in observation.calibrators
    ]
    return [
        f"observation: {observation.key}",
        f"path: {observation.path}",
        f"telescope: {observation.telescope}",
        f"start: {isot_from_mjd(observation.start_mjd)}",
        f"end: {isot_from_mjd(observation.end_mjd)}",
        f"mid-MJD: {observation.mid_mjd:.5f}",
        f"declination strip: {observation.declination_deg:+.3f} deg",
        f"fields: {len(observation.fields)}",
        f"integrations: {observation.n_integrations} of {observation.integration_s:.3f} s",
        f"antennas: {len(working)} of {len(observation.antennas)} working",
        f"band: {low_hz / 1e6:.3f}-{high_hz / 1e6:.3f} MHz, "
        f"{len(windows)} windows, {channels} channels, {'/'.join(observation.correlations)}",
        f"flagged: {observation.flagged_fraction:.1%} of the data of working antennas",
        f"calibrators: {'; '.join(calibrators) or 'none crossed the beam'}",
        *([f"not usable: {observation.unusable}"] if observation.unusable else []),
        *(f"note: {note}" for note in observation.notes),
    ]
