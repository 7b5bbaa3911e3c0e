"""What a platform needs to start, with one asset and one sensor."""

import shutil
from pathlib import Path

DEFINITIONS = """
import os, time
import dagster as dg

@dg.asset
def long_work():
    open(os.environ["CONTIMG_STATE"] + "/started", "w").write(str(os.getpid()))
    time.sleep(600)

job = dg.define_asset_job("job", [long_work])

@dg.sensor(job=job, minimum_interval_seconds=1)
def starter():
    yield dg.RunRequest(run_key="once")

defs = dg.Definitions(assets=[long_work], jobs=[job], sensors=[starter])
"""


def make_home(directory: Path) -> Path:
    """Make a directory as a checkout has it, with definitions of its own."""
    directory.mkdir()
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", directory)
    (directory / "made_up_definitions.py").write_text(DEFINITIONS)
    (directory / "workspace.yaml").write_text(
        "load_from:\n  - python_module: {module_name: made_up_definitions}\n"
    )
    return directory
