"""The products of contimg as Dagster's assets, with their checks, sensors and jobs.

Reads like the pipeline's table of contents: each asset calls one function of
`contimg_resources.steps` and reports the result to Dagster.
Belongs here: partitions, assets, asset checks, sensors, jobs, schedules.
Doesn't: arithmetic, SQL, CASA.
"""

import gc
import warnings

import dagster as dg

from contimg_resources.core.plain_text import keep_logs_plain

# Runs log the names of observations: a name must not send control characters to a terminal.
keep_logs_plain()

# Some unfinished parts of Dagster are used on purpose, and its version is locked: warnings at each
# start help nobody.
for _kind in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_kind)

# Dagster's modules stay until the process ends: garbage collection would scan their objects again
# and again while ours are loaded.
gc.freeze()
