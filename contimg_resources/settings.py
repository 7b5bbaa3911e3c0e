"""All settings, each with its default and its meaning.

Belongs here: what an operator may want to change. Values come from ``CONTIMG_*`` environment
variables (nested with two underscores, ``CONTIMG_IMAGING__ROBUST=0``), then from the TOML file
that ``CONTIMG_CONFIG`` names, then from the defaults below.
Doesn't: figures of the instrument (see `contimg_resources.instrument`) and paths of products
(see `contimg_resources.naming`).
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contimg_resources.errors import ConfigurationError
from contimg_resources.naming import StateLayout


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CasaSettings(_Section):
    """How CASA is run."""

    step_timeout_s: float = Field(3600.0, gt=0, description="A CASA step is ended after this long.")
    threads: int = Field(1, ge=1, description="OpenMP threads of one CASA process.")


class ArrivalSettings(_Section):
    """When an incoming MS counts as complete."""

    settle_age_s: float = Field(
        30.0,
        ge=0,
        description="Without a done-marker, nothing inside the MS may have changed for this long.",
    )
    done_suffix: str = Field(
        ".done", description="A file named like the MS plus this marks it as complete at once."
    )
    calibrator_list: Path | None = Field(
        None,
        description="CSV or ECSV with the user's own calibrators: name, ra_deg, dec_deg, flux_jy, "
        "reference_ghz, spectral_index.",
    )
    calibrator_radius_deg: float = Field(
        1.0,
        gt=0,
        description="An observation holds a calibrator when it comes this near to a phase centre.",
    )
    calibrator_min_flux_jy: float = Field(
        1.0, ge=0, description="Fainter calibrators (apparent flux) do not start a solve."
    )


class CalibrationSettings(_Section):
    """Solving, judging and borrowing caltable sets."""

    engine: Literal["casa", "fast"] = Field(
        "fast",
        description="How a drift scan is solved (averaged in memory first) and caltables are "
        "applied (in memory), or both by CASA alone, which does what memory can't in any case.",
    )
    refants: tuple[str, ...] = Field(
        (
            *("104", "105", "106", "107", "108", "109", "110", "111", "112", "113"),
            *("114", "115", "116", "103"),
        ),
        description="Preferred reference antennas by name, best first, for refant 'auto'.",
    )
    valid_before_h: float = Field(24.0, ge=0, description="A set is valid from this long before.")
    valid_after_h: float = Field(24.0, ge=0, description="A set is valid until this long after.")
    strip_tolerance_deg: float = Field(
        0.5,
        gt=0,
        description="A set serves observations whose declination differs by no more than this "
        "(an apparent declination wobbles by 0.15 deg in ICRS over a day).",
    )
    borrow: bool = Field(
        False, description="Apply the nearest set even outside its window; products are marked."
    )
    short_interval_s: float = Field(60.0, gt=0, description="Solution interval of 2G.")
    min_snr: float = Field(3.0, gt=0, description="Solutions below this SNR are flagged.")
    min_median_snr: float = Field(
        10.0, gt=0, description="A table whose median SNR is lower fails its set."
    )
    max_flagged_fraction: float = Field(
        0.3,
        gt=0,
        le=1,
        description="A table with more flagged solutions (of working receptors) fails its set.",
    )
    max_phase_scatter_deg: float = Field(
        30.0, gt=0, description="Largest scatter of the phase solutions about their smooth trend."
    )
    max_amplitude_scatter: float = Field(
        0.3, gt=0, description="Largest relative scatter of the amplitude solutions."
    )
    sky_model: Path | None = Field(
        None,
        description="CSV or ECSV of known sources (columns as `arrival.calibrator_list`) that go "
        "into the model of a solve beside its calibrator; without, gains absorb about 2 / N of "
        "their flux density with N antennas.",
    )
    plotms: bool = Field(
        True, description="Draw casaplotms diagnostics too, where its libraries are present."
    )


class ImagingSettings(_Section):
    """The 5-minute image."""

    engine: Literal["casa", "fast", "wsclean"] = Field(
        "fast",
        description="Imaging engine: in memory with ducc0, CASA's tclean, or the program WSClean "
        "where it is installed.",
    )
    image_size: int | None = Field(
        None,
        ge=64,
        description="Pixels a side; None: reaches to where the primary beam is half of its cut.",
    )
    cell_arcsec: float | None = Field(
        None, gt=0, description="Pixel size; None: a third of the synthesized beam's minor axis."
    )
    robust: float = Field(0.5, ge=-2, le=2, description="Briggs robust.")
    niter: int = Field(10_000, ge=0, description="Most CLEAN iterations.")
    threshold_sigma: float = Field(
        4.0, gt=0, description="CLEAN stops at this many times the expected or measured noise."
    )
    uvrange: str = Field("", description="CASA uv selection; empty keeps every baseline.")
    beam_cut: float = Field(0.2, gt=0, lt=1, description="Primary-beam cut of the image.")
    max_flagged_fraction: float = Field(
        0.6, gt=0, le=1, description="More flagged data (of working antennas) fails the image."
    )
    max_rms_ratio: float = Field(
        3.0, gt=1, description="The rms may exceed what the noise predicts by this factor."
    )
    max_dynamic_range: float = Field(
        1000.0,
        gt=1,
        description="Nor can it be expected below the peak divided by this: the field of a bright "
        "calibrator is limited by its dynamic range, not by its noise.",
    )
    max_beam_elongation: float = Field(6.0, gt=1, description="Largest bmaj / bmin.")
    min_beam_pixels: float = Field(2.0, gt=0, description="Least pixels across bmin.")
    flux_tolerance: float = Field(
        0.2, gt=0, description="Known sources: largest |median flux ratio - 1|."
    )
    max_offset_beam: float = Field(
        0.3, gt=0, description="Known sources: largest median offset, in beams (bmin)."
    )


class CatalogueSettings(_Section):
    """Known sources."""

    reference: str | None = Field(
        None,
        description="Name of the catalogue (`contimg catalogue list`) whose sources are looked for "
        "in images, for the checks of flux and astrometry, and measured by forced photometry.",
    )
    default_spectral_index: float = Field(
        -0.7,
        ge=-5,
        le=5,
        description="Of sources whose spectral index the catalogue doesn't know (S ~ nu^alpha).",
    )


class MosaicSettings(_Section):
    """Rolling mosaics of 5-minute images."""

    slot_s: float = Field(
        300.0,
        ge=60,
        le=3600,
        description="The fixed grid of time that windows are counted in; must divide a day.",
    )
    width: int = Field(12, ge=2, le=48, description="Slots that a mosaic covers.")
    step: int = Field(6, ge=1, le=48, description="Slots from one mosaic to the next.")
    min_tiles: int = Field(2, ge=1, description="A window with fewer images makes no mosaic.")
    wait_min: float = Field(
        60.0,
        ge=0,
        description="A window with holes waits this long, from its end or from the last change in "
        "it, for observations that are late; those that come later have it made again.",
    )
    max_rms_ratio: float = Field(
        1.5,
        gt=1,
        description="The measured noise may exceed what the tiles' noise predicts by this factor.",
    )
    max_seam_sigma: float = Field(
        3.0, gt=0, description="Largest step at the edge of a tile, in its own uncertainty."
    )
    sums_days: float = Field(
        0.5,
        gt=0,
        description="The running sums that a late tile is added to, kept for windows with holes, "
        "are removed after this long; later the mosaic is built anew.",
    )


class PhotometrySettings(_Section):
    """Forced photometry at catalogue positions."""

    min_flux_mjy: float = Field(
        10.0, ge=0, description="Fainter catalogue sources aren't measured."
    )
    images: bool = Field(True, description="Measure single 5-minute images too, not mosaics alone.")
    min_references: int = Field(
        10, ge=3, description="Fewer reference sources can't tell an epoch's flux scale."
    )
    max_scale_scatter: float = Field(
        0.1, gt=0, description="Largest robust scatter of the reference sources' flux ratios."
    )
    max_scale_offset: float = Field(
        0.2, gt=0, description="Largest |flux scale - 1| of an epoch that is published."
    )


class VariabilitySettings(_Section):
    """Light curves and measures of variability."""

    days: float = Field(
        730.0, gt=1, description="Measures of variability are of so many days up to the day asked."
    )
    min_epochs: int = Field(
        10, ge=3, description="A source that was measured in fewer epochs isn't judged."
    )
    eta_sigma: float = Field(
        3.0,
        gt=0,
        description="A variable's log eta lies so many robust standard deviations above that of "
        "the population at its S/N.",
    )
    v_sigma: float = Field(2.0, gt=0, description="The same for log V.")


class EseSettings(_Section):
    """The search for Extreme Scattering Events."""

    templates: tuple[Literal["fiedler", "clegg"], ...] = Field(
        ("fiedler",), min_length=1, description="Families of templates that are searched with."
    )
    min_width_days: float = Field(10.0, ge=3, description="Narrowest dip (full width at half).")
    max_width_days: float = Field(200.0, le=400, description="Widest dip.")
    min_depth: float = Field(
        0.1, gt=0, lt=1, description="Shallowest dip, as a share of the baseline."
    )
    false_alarms: float = Field(
        1.0,
        gt=0,
        description="Accepted false alarms in 1000 source-years of steady sources; the score's "
        "threshold is measured for it on shuffled light curves of the platform's own.",
    )
    min_over_walk: float = Field(
        20.0,
        ge=0,
        description="Evidence (2 Δ ln L) that a candidate needs over a source that wanders by "
        "itself; higher, and variable sources make fewer candidates, faint ones too.",
    )
    neighbour_radius_deg: float = Field(
        1.5, gt=0, description="A dip that sources this near share is the epochs' error."
    )


class CutoutSettings(_Section):
    """Cutouts around sources and candidates."""

    size_arcmin: float = Field(8.0, gt=0.5, le=120, description="Side of a cutout.")
    max_gb: float = Field(
        10.0,
        gt=0,
        description="Cutouts take no more than this; the oldest that no candidate or "
        "mark needs go first.",
    )


class ExportSettings(_Section):
    """JSON documents for dashboards."""

    directory: Path | None = Field(
        None, description="Where they are written; None: `export` in the state."
    )
    interval_min: int = Field(
        10, ge=1, le=59, description="They are written anew every so many minutes."
    )
    observation_days: float = Field(
        90.0, gt=0, description="Observations, images and mosaics of so many days are in them."
    )


class AlertSettings(_Section):
    """Messages about what a person must know."""

    webhook: SecretStr | None = Field(
        None, description='URL that gets each message as JSON, `{"text": ...}`, by POST.'
    )
    email_to: tuple[str, ...] = Field((), description="Addresses that get each message.")
    email_from: str = Field("contimg@localhost", description="Their sender.")
    smtp_host: str = Field("localhost", description="The mail server.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Its port.")
    smtp_user: str | None = Field(None, description="Who logs in there; None: nobody (no TLS).")
    smtp_password: SecretStr | None = Field(None, description="And the password.")
    dashboard_url: str | None = Field(
        None, description="Messages link to the dashboard there: `https://example.org/contimg/`."
    )
    rms_factor: float = Field(
        1.5,
        gt=1,
        description="Image quality has fallen when the median rms of the last images exceeds that "
        "of the weeks before by this factor.",
    )


class SensorSettings(_Section):
    """The sensors' pace."""

    interval_s: int = Field(30, ge=1, description="Seconds between looks at the MS directory.")
    max_runs_per_tick: int = Field(24, ge=1, le=100, description="Runs started per look at most.")


class RetentionSettings(_Section):
    """What is removed, and when; images and caltables stay unless said otherwise."""

    partition_days: float = Field(
        90.0,
        gt=0,
        description="Observations older than this leave Dagster's list of partitions, not the "
        "stores; `contimg reprocess` brings them back.",
    )
    run_days: float = Field(
        90.0,
        gt=0,
        description="Dagster's runs with their logs, and CASA's logs, are kept this long, those "
        "that export documents and send messages a day; the run that last materialized an asset or "
        "partition is kept for ever.",
    )
    calibrated_ms_days: float | None = Field(
        7.0,
        gt=0,
        description="A calibrated MS is removed after this long when it was imaged and can be made "
        "again, since its MS is still there; None: only for want of room.",
    )
    companion_days: float | None = Field(
        30.0,
        gt=0,
        description="Residual, PSF and primary beam of an image are removed after this long; None: "
        "only for want of room.",
    )
    image_days: float | None = Field(
        None, gt=0, description="Images are removed after this long; None: never."
    )
    scratch_h: float = Field(
        24.0, gt=0, description="What killed steps left behind is removed after this long."
    )
    free_gb: float = Field(
        20.0,
        ge=0,
        description="While less is free on the state's disk, calibrated MS and companions of "
        "images are removed before their time, the oldest first.",
    )
    pause_below_gb: float = Field(
        6.0, ge=0, description="While less is free, no run is started and steps wait."
    )
    wait_for_room_s: float = Field(
        3600.0, ge=0, description="A step that waits for room fails after this long."
    )


class Settings(BaseSettings):
    """Everything that an operator may set."""

    model_config = SettingsConfigDict(
        env_prefix="CONTIMG_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    state: Path = Field(
        default_factory=lambda: (
            Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "contimg"
        ),
        description="State directory: databases, products, Dagster's storage, logs.",
    )
    ms_dir: Path | None = Field(None, description="Where MS arrive; None: `incoming` in the state.")
    registry_url: str | None = Field(
        None, description="SQLAlchemy URL of the registry; None: `registry.sqlite3` in the state."
    )
    products_url: str | None = Field(
        None, description="SQLAlchemy URL of the products store; None: `products.sqlite3`."
    )
    casa: CasaSettings = CasaSettings()
    arrival: ArrivalSettings = ArrivalSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    imaging: ImagingSettings = ImagingSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    mosaics: MosaicSettings = MosaicSettings()
    photometry: PhotometrySettings = PhotometrySettings()
    variability: VariabilitySettings = VariabilitySettings()
    ese: EseSettings = EseSettings()
    cutouts: CutoutSettings = CutoutSettings()
    export: ExportSettings = ExportSettings()
    alerts: AlertSettings = AlertSettings()
    sensors: SensorSettings = SensorSettings()
    retention: RetentionSettings = RetentionSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, the TOML file that CONTIMG_CONFIG names."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if config := os.environ.get("CONTIMG_CONFIG"):
            if not Path(config).is_file():
                raise ConfigurationError(f"CONTIMG_CONFIG names {config}, which is no file")
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=config))
        return tuple(sources)

    @model_validator(mode="after")
    def _absolute_paths(self) -> "Settings":
        # Daemon, webserver and runs work in different directories.
        for name, path in (
            ("state", self.state),
            ("ms_dir", self.ms_dir),
            ("arrival.calibrator_list", self.arrival.calibrator_list),
            ("calibration.sky_model", self.calibration.sky_model),
            ("export.directory", self.export.directory),
        ):
            if path is not None and not path.is_absolute():
                raise ValueError(f"{name}: {path} must be an absolute path")
        for name, url in (("registry_url", self.registry_url), ("products_url", self.products_url)):
            path = None if url is None else _file_of(url)
            if path is not None and not path.is_absolute():
                raise ValueError(f"{name}: {url} must name its file by an absolute path")
        return self

    @property
    def layout(self) -> StateLayout:
        """Paths of everything under the state directory."""
        return StateLayout(self.state)

    @property
    def incoming_dir(self) -> Path:
        """Where MS arrive."""
        return self.ms_dir or self.layout.incoming

    @property
    def export_dir(self) -> Path:
        """Where documents for dashboards are written."""
        return self.export.directory or self.layout.export

    @property
    def registry_address(self) -> str:
        """SQLAlchemy URL of the calibration registry."""
        return self.registry_url or f"sqlite:///{self.state / 'registry.sqlite3'}"

    @property
    def products_address(self) -> str:
        """SQLAlchemy URL of the products store."""
        return self.products_url or f"sqlite:///{self.state / 'products.sqlite3'}"


def _file_of(url: str) -> Path | None:
    """Return the file of a store's address; None when it is in a database server."""
    scheme, found, rest = url.partition(":///")
    if found:
        return Path(rest) if scheme.startswith("sqlite") else None
    return None if "://" in url else Path(url)


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises
    ------
    ConfigurationError
        Naming each setting that is wrong and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in e['loc']) or 'settings'}: {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(f"settings: {wrong}") from error
