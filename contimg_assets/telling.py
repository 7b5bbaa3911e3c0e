"""Reporting to Dagster: progress, results of checks, pictures, versions.

Belongs here: conversion of results into Dagster's types.
Doesn't: deciding or measuring anything.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from contimg_resources.casa import Progress
from contimg_resources.core.plain_text import plain_line
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.imaging.preview import preview_address
from contimg_resources.settings import Settings

#: Dagster shows longer Markdown only after a click.
MAX_SHOWN_CHARS = 999

#: Dagster keeps every event twice; of a larger picture only the path is shown.
MAX_PICTURE_BYTES = 15_000

#: Width of a picture from the dashboard.
_SHARP_PIXELS = 500

#: Space for a line that names the number of left-out checks.
_MORE_CHARS = 30
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&])")

#: A step logs again when its message changes or this much more of it is done.
_PROGRESS_STEP = 0.25


def log_progress(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Progress:
    """Return a progress callback that logs to the run, sparingly: each line is a database row."""
    last_message, last_fraction = "", -1.0

    def tell(message: str, fraction: float | None = None) -> None:
        nonlocal last_message, last_fraction
        done = -1.0 if fraction is None else fraction
        if message == last_message and done < last_fraction + _PROGRESS_STEP:
            return
        last_message, last_fraction = message, done
        context.log.info(message if fraction is None else f"{message} ({fraction:.0%})")

    return tell


def check_result(
    verdict: Verdict, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    """Return the result of a check as Dagster's asset check result; `severity` is of a failure.

    A check that had nothing to compare with passes with a warning that states it.
    """
    return dg.AssetCheckResult(
        check_name=verdict.name,
        passed=verdict.passed,
        severity=severity if verdict.evaluated else dg.AssetCheckSeverity.WARN,
        description=verdict.words,
        # A value that isn't a finite number would break the page that plots it.
        metadata={
            "evaluated": verdict.evaluated,
            **{name: value for name, value in verdict.measures.items() if math.isfinite(value)},
        },
    )


def checks_on_top(verdicts: Sequence[Verdict]) -> dict[str, dg.MarkdownMetadataValue]:
    """Return metadata with the result of each check, failed ones first, for the top of the page.

    Each has the value found and the limit. The page shows them immediately, so that those of passed
    checks are left out where there is no space.
    """
    ordered = sorted(verdicts, key=lambda v: (v.passed, v.evaluated))
    lines = [
        f"- {'passed' if v.passed else '**FAILED**'}, {_literal(f'{v.name}: {v.words}')}"
        for v in ordered
    ]
    n_shown = len(lines)
    while n_shown > 1 and len("\n".join(lines[:n_shown])) > MAX_SHOWN_CHARS - _MORE_CHARS:
        n_shown -= 1
    more = [f"- and {len(lines) - n_shown} more checks"] if n_shown < len(lines) else []
    text = "\n".join([*lines[:n_shown], *more])
    return {"checks": dg.MetadataValue.md(text[:MAX_SHOWN_CHARS])} if verdicts else {}


def _literal(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", plain_line(text))


def preview(png: Path, caption: str) -> dg.MarkdownMetadataValue:
    """Return a small picture that the partition page shows immediately.

    Dagster hides Markdown of a thousand characters or more behind a link.
    """
    return _scaled(png, caption, MAX_SHOWN_CHARS)


def drawing(png: Path, caption: str) -> dg.MarkdownMetadataValue:
    """Return a plot or an image with axes, scaled to the size that Dagster accepts.

    The page shows it when its link is clicked.
    """
    return _scaled(png, caption, MAX_PICTURE_BYTES, shown_pixels=720)


def _scaled(png: Path, caption: str, max_chars: int, **shown: int) -> dg.MarkdownMetadataValue:
    address = preview_address(png, max_chars=max_chars - len(f"![{caption}]()"), **shown)
    return dg.MetadataValue.md(f"![{caption}]({address})" if address else f"`{png}`")


def dashboard_link(settings: Settings, view: str) -> dict[str, dg.UrlMetadataValue]:
    """Return the link to a view of the dashboard (``observations/KEY``), if its address is set."""
    address = settings.alerts.dashboard_url
    return {"dashboard": dg.MetadataValue.url(f"{address}#/{view}")} if address else {}


def dashboard_picture(settings: Settings, of: str) -> dict[str, dg.MarkdownMetadataValue]:
    """Return a sharp picture of an image (``mosaics/KEY``), if the dashboard's address is set.

    The browser loads it from the dashboard, since Dagster stores small pictures only.
    """
    if not (address := settings.alerts.dashboard_url):
        return {}
    place = f"{address}api/{of}/image.svg?width={_SHARP_PIXELS}"
    return {"picture": dg.MetadataValue.md(f"![{of}]({place})")}


def listed(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue | str:
    """Return rows as a table; "none" where there are none, which Dagster can't show as a table."""
    records = [dg.TableRecord(dict(row)) for row in rows]
    return dg.MetadataValue.table(records) if records else "none"


def content_version(*parts: str) -> dg.DataVersion:
    """Return one data version for several checksums."""
    return dg.DataVersion(hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16])
