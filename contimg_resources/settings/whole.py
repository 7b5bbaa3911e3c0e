"""All settings, and the sources of their values.

Belongs here: paths and addresses, the sections, reading them. Doesn't: the settings of a stage (see
the other modules of this package).
"""

import os
from datetime import date
from pathlib import Path
from typing import Literal

import tomlkit
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.naming import StateLayout
from contimg_resources.core.surroundings import home_directory
from contimg_resources.settings.observations import (
    AntennaSettings,
    ArrivalSettings,
    CalibrationSettings,
    CasaSettings,
    ImagingSettings,
    PrimaryBeamSettings,
    SubBandSettings,
)
from contimg_resources.settings.platform import (
    AlertSettings,
    ClusterSettings,
    DashboardSettings,
    ExportSettings,
    RetentionSettings,
    SensorSettings,
    SkySettings,
)
from contimg_resources.settings.surveys import (
    CatalogueSettings,
    CutoutSettings,
    EseSettings,
    FindingSettings,
    MosaicSettings,
    PhotometrySettings,
    VariabilitySettings,
)


class Settings(BaseSettings):
    """All settings that an operator may change."""

    model_config = SettingsConfigDict(
        env_prefix="CONTIMG_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    state: Path = Field(
        default_factory=lambda: (
            Path(os.environ.get("XDG_STATE_HOME") or _home() / ".local/state") / "contimg"
        ),
        description="State directory: databases, products, Dagster's storage, logs.",
    )
    ms_dir: Path | None = Field(
        None, description="Directory of incoming MS; None: `incoming` in the state directory."
    )
    uvh5_dir: Path | None = Field(
        None,
        description="Directory of incoming sub-band files of the correlator (UVH5); None: "
        "`incoming_uvh5` in the state directory.",
    )
    registry_url: str | None = Field(
        None,
        description="The registry: a SQLite file or an SQLAlchemy URL; None: `registry.sqlite3` in "
        "the state directory.",
    )
    products_url: str | None = Field(
        None,
        description="The products store: a SQLite file or an SQLAlchemy URL; None: "
        "`products.sqlite3` in the state directory.",
    )
    first_day: date | None = Field(
        None,
        description="First UTC day of Dagster's daily partitions; None: the day of the earliest "
        "observation or mosaic in the products store, which the platform follows. The platform "
        "reads this setting when it starts.",
    )
    docs_url: str | None = Field(
        None,
        pattern=r"^https?://.*/$",
        description="Address of the built documentation for links on Dagster's pages: "
        "`https://example.org/docs/`.",
    )
    umask: str = Field(
        "077",
        pattern=r"^0?[0-7]{3}$",
        description="Permissions removed from written files, octal: with 077 only the owner has "
        "access, with 027 the group may read, with 022 everybody. Documents for dashboards are "
        "readable by everybody who can read the directory that holds them.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="Form of the logs of `contimg up` and `contimg worker`: text, or JSON lines "
        "(`timestamp`, `level`, `logger`, `event`, `exception`).",
    )
    casa: CasaSettings = CasaSettings()
    arrival: ArrivalSettings = ArrivalSettings()
    uvh5: SubBandSettings = SubBandSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    antennas: AntennaSettings = AntennaSettings()
    primary_beam: PrimaryBeamSettings = PrimaryBeamSettings()
    imaging: ImagingSettings = ImagingSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    mosaics: MosaicSettings = MosaicSettings()
    photometry: PhotometrySettings = PhotometrySettings()
    finding: FindingSettings = FindingSettings()
    variability: VariabilitySettings = VariabilitySettings()
    ese: EseSettings = EseSettings()
    cutouts: CutoutSettings = CutoutSettings()
    export: ExportSettings = ExportSettings()
    sky: SkySettings = SkySettings()
    dashboard: DashboardSettings = DashboardSettings()
    alerts: AlertSettings = AlertSettings()
    sensors: SensorSettings = SensorSettings()
    retention: RetentionSettings = RetentionSettings()
    cluster: ClusterSettings = ClusterSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, the TOML file named by CONTIMG_CONFIG."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if config := os.environ.get("CONTIMG_CONFIG"):
            if not Path(config).is_file():
                raise ConfigurationError(f"CONTIMG_CONFIG names {config}, which is not a file")
            try:
                sources.append(TomlConfigSettingsSource(settings_cls, toml_file=config))
            except (OSError, ValueError, RecursionError) as error:
                raise ConfigurationError(
                    f"{config}, named by CONTIMG_CONFIG, can't be read as TOML: {error}"
                ) from error
        return tuple(sources)

    @model_validator(mode="after")
    def _absolute_paths(self) -> "Settings":
        # Daemon, webserver and runs have different working directories.
        for name, path in (
            ("state", self.state),
            ("ms_dir", self.ms_dir),
            ("uvh5_dir", self.uvh5_dir),
            ("arrival.calibrator_list", self.arrival.calibrator_list),
            ("calibration.sky_model", self.calibration.sky_model),
            ("export.directory", self.export.directory),
            ("dashboard.tokens", self.dashboard.tokens),
        ):
            if path is not None and not path.is_absolute():
                raise ValueError(f"{name}: {path} must be an absolute path")
        for name, url in (("registry_url", self.registry_url), ("products_url", self.products_url)):
            path = None if url is None else file_of(url)
            if path is not None and not path.is_absolute():
                raise ValueError(f"{name}: {url} must name its file by an absolute path")
        return self

    @property
    def layout(self) -> StateLayout:
        """Paths of everything under the state directory."""
        return StateLayout(self.state)

    @property
    def incoming_dir(self) -> Path:
        """Directory of incoming MS."""
        return self.ms_dir or self.layout.incoming

    @property
    def incoming_uvh5_dir(self) -> Path:
        """Directory of incoming sub-band files."""
        return self.uvh5_dir or self.layout.incoming_uvh5

    @property
    def export_dir(self) -> Path:
        """Directory of documents for dashboards."""
        return self.export.directory or self.layout.export

    @property
    def registry_address(self) -> str:
        """Path of the calibration registry's file, or the SQLAlchemy URL that was set."""
        return self.registry_url or str(self.state / "registry.sqlite3")

    @property
    def products_address(self) -> str:
        """Path of the products store's file, or the SQLAlchemy URL that was set."""
        return self.products_url or str(self.state / "products.sqlite3")

    def as_toml(self) -> str:
        """Return the settings that aren't defaults, as a file for ``CONTIMG_CONFIG``.

        Secrets and the state directory are left out: a reader of the file may have another one.
        """
        values = self.model_dump(
            mode="json",
            exclude_defaults=True,
            exclude_none=True,
            exclude={
                "state": True,
                "alerts": {"webhook", "smtp_password", "ping_url"},
                "cluster": {"dagster_url", "broker_url"},
            },
        )
        for name in ("registry_url", "products_url"):
            if values.get(name):
                values[name] = without_password(values[name])
        return (
            "# Without secrets (alerts.webhook, alerts.smtp_password, alerts.ping_url,\n"
            "# cluster.dagster_url, cluster.broker_url, passwords of databases).\n"
            f"{tomlkit.dumps(values)}"
        )


def _home() -> Path:
    home = home_directory()
    if home is None:
        raise ConfigurationError(
            "this user has no home directory for the default state directory: set CONTIMG_STATE"
        )
    return home


def file_of(url: str) -> Path | None:
    """Return the file of a store's address; None if it is on a database server."""
    scheme, found, rest = url.partition(":///")
    if found:
        return Path(rest) if scheme.startswith("sqlite") else None
    return None if "://" in url else Path(url)


def without_password(url: str) -> str:
    """Return the address of a store without the password that it may hold."""
    scheme, found, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{found}{user.partition(':')[0]}{at}{host}" if found else url


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises
    ------
    ConfigurationError
        Naming each wrong setting with the reason.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in e['loc']) or 'settings'}: {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(f"settings: {wrong}") from error
    except (SettingsError, RecursionError) as error:
        raise ConfigurationError(
            f"settings of the environment: {error}: {error.__cause__ or 'too deeply nested'}"
        ) from error
