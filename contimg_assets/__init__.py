"""What contimg makes, and when: Dagster's assets, checks, sensors and jobs.

Reads like the pipeline's table of contents: each asset calls one function of
`contimg_resources.steps` and tells Dagster what came of it.
Belongs here: partitions, assets, asset checks, sensors, jobs, schedules.
Doesn't: arithmetic, SQL, CASA.
"""

import warnings

import dagster as dg

from contimg_resources.core.plain_text import keep_logs_plain

# What runs log names what observations are called: nobody who reads a log shall obey it.
keep_logs_plain()

# Partitioned asset checks work, but are announced as a preview once a check at each start.
warnings.filterwarnings("ignore", ".*partitions_def on an AssetCheckSpec", dg.PreviewWarning)
