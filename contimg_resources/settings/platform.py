"""Settings of the platform: export, dashboard, alerts, sensors, retention, several machines.

Belongs here: one model for each. Doesn't: data processing (see `.observations` and `.surveys`).
"""

from pathlib import Path

from pydantic import Field, SecretStr

from contimg_resources.settings.section import Section


class ExportSettings(Section):
    """JSON documents for dashboards."""

    directory: Path | None = Field(
        None,
        description="Directory of the documents: empty, or with earlier documents; None: "
        "`export` in the state directory.",
    )
    interval_min: int = Field(10, ge=1, le=59, description="Minutes between exports.")
    observation_days: float = Field(
        90.0,
        gt=0,
        description="Span of the observations, images and mosaics in the documents, days.",
    )


class DashboardSettings(Section):
    """Who may mark candidates in the browser."""

    user_header: str | None = Field(
        None,
        description="Header in which a reverse proxy passes the name of the person, such as "
        "`X-Remote-User`. Set it only where nobody reaches the dashboard but through the proxy, "
        "and the proxy removes that header from requests.",
    )
    tokens: Path | None = Field(
        None,
        description="File of the people who sign in with a token: in each line a name and the "
        "SHA-256 of the token. None, without a header: on this computer alone its user may mark.",
    )
    dagster_url: str | None = Field(
        None,
        description="Address of Dagster's web interface for links to runs; None: that of the "
        "platform that runs on the state directory.",
    )
    sesame_url: str = Field(
        "https://cds.unistra.fr/cgi-bin/nph-sesame",
        pattern=r"^(https?://.+)?$",
        description="Address of the CDS's service Sesame, which the server asks for the positions "
        "of names that no catalogue here has; empty: nobody is asked.",
    )


class AlertSettings(Section):
    """Alerts."""

    webhook: SecretStr | None = Field(
        None, description='URL that receives each alert as JSON, `{"text": ...}`, by POST.'
    )
    email_to: tuple[str, ...] = Field((), description="E-mail addresses that receive each alert.")
    email_from: str = Field("contimg@localhost", description="Sender address of the e-mails.")
    smtp_host: str = Field("localhost", description="Mail server.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Port of the mail server.")
    smtp_user: str | None = Field(
        None, description="User name on the mail server; None: no login (no TLS)."
    )
    smtp_password: SecretStr | None = Field(None, description="Password on the mail server.")
    dashboard_url: str | None = Field(
        None,
        description="Address of the dashboard for links in alerts: `https://example.org/contimg/`.",
    )
    ping_url: SecretStr | None = Field(
        None,
        description="Address that the platform asks for every minute while it works, such as that "
        "of a check on healthchecks.io, which notices when the platform or its computer is down.",
    )
    silence_min: float | None = Field(
        30.0,
        gt=0,
        description="Minutes without an observation after which the dashboard and `contimg status` "
        "say so and an alert is sent, once; None: never.",
    )
    ivorn: str = Field(
        "ivo://contimg.local/dsa110",
        pattern=r"^ivo://[A-Za-z0-9][A-Za-z0-9._-]{2,}(/[A-Za-z0-9._-]+)*$",
        description="Identifier of the VOEvents of candidates; its first part is the authority "
        "that your institution registered with the IVOA.",
    )
    rms_factor: float = Field(
        1.5,
        gt=1,
        description="Image quality has dropped when the median rms of the latest images exceeds "
        "that of the preceding weeks by this factor.",
    )


class SensorSettings(Section):
    """Timing of the sensors."""

    interval_s: int = Field(30, ge=1, description="Seconds between scans of the MS directory.")
    max_runs_per_tick: int = Field(
        24, ge=1, le=100, description="Maximum number of runs started per scan."
    )


class RetentionSettings(Section):
    """Removal of old data; by default images and caltables are kept."""

    partition_days: float = Field(
        90.0,
        gt=0,
        description="Observations older than this are removed from Dagster's list of partitions, "
        "but not from the stores; `contimg reprocess` adds them again.",
    )
    run_days: float = Field(
        90.0,
        gt=0,
        description="Dagster's runs with their logs, and CASA's logs, are kept this long (runs "
        "that export documents and send alerts: one day); the run that last materialized an asset "
        "or partition is kept for ever.",
    )
    calibrated_ms_days: float | None = Field(
        7.0,
        gt=0,
        description="A calibrated MS, and an MS made of sub-band files, is removed after this long "
        "if it is imaged and can be remade because the MS or the files that arrived still exist; "
        "None: only when disk space is low.",
    )
    companion_days: float | None = Field(
        30.0,
        gt=0,
        description="Residual, PSF and primary beam of an image are removed after this long; None: "
        "only when disk space is low.",
    )
    image_days: float | None = Field(
        None, gt=0, description="Images are removed after this long; None: never."
    )
    scratch_h: float = Field(
        24.0, gt=0, description="Files that killed steps left in scratch are removed after this."
    )
    free_gb: float = Field(
        20.0,
        ge=0,
        description="While less disk space is free in the state directory, calibrated MS and "
        "companions of images are removed early, oldest first.",
    )
    pause_below_gb: float = Field(
        6.0, ge=0, description="While less disk space is free, no run starts and steps wait."
    )
    wait_for_room_s: float = Field(
        3600.0, ge=0, description="A step that waits for disk space fails after this long."
    )
    reserve_mb: float = Field(
        64.0,
        ge=0,
        description="Size of the file `reserve` in the state directory, which `contimg "
        "housekeeping` and `contimg up` remove when the disk is full: without any free space no "
        "store can be opened. 0: no reserve.",
    )


class ClusterSettings(Section):
    """Several machines: the addresses that control plane and workers share."""

    dagster_url: SecretStr | None = Field(
        None,
        description="Postgres database of Dagster's storage: `postgresql://user@host/dagster`; "
        "None: one machine.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="Redis server that passes runs to the workers: `redis://host:6379/0`, or "
        "`rediss://` with TLS; None: one machine.",
    )
    lost_after_s: float = Field(
        60.0,
        ge=5,
        description="A worker without a sign of life for this long is lost: its runs are started "
        "again elsewhere.",
    )

    @property
    def is_set(self) -> bool:
        """Whether an address is set."""
        return self.dagster_url is not None or self.broker_url is not None
