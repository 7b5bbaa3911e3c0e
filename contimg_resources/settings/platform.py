"""Settings of the platform's own work: documents, messages, sensors, what is removed when.

Belongs here: one model for each. Doesn't: what is done with data (see `.observations` and
`.surveys`).
"""

from pathlib import Path

from pydantic import Field, SecretStr

from contimg_resources.settings.section import Section


class ExportSettings(Section):
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


class AlertSettings(Section):
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


class SensorSettings(Section):
    """The sensors' pace."""

    interval_s: int = Field(30, ge=1, description="Seconds between looks at the MS directory.")
    max_runs_per_tick: int = Field(24, ge=1, le=100, description="Runs started per look at most.")


class RetentionSettings(Section):
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
    reserve_mb: float = Field(
        64.0,
        ge=0,
        description="A file of this size, `reserve` in the state, is given up by `contimg "
        "housekeeping` and `contimg up` when the disk is full: without any space no store can be "
        "opened. 0: there is none.",
    )
