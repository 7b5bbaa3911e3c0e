"""Directory of the output of steps, as Dagster captures it.

Belongs here: one directory for all of it, below the state directory. Doesn't: anything else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class ComputeLogs(LocalComputeLogManager):
    """Dagster's local compute logs, in ``compute_logs`` below its base directory.

    ``dagster.yaml`` can name the state directory, which comes from the environment, but nothing
    below it: without this, each run would have its own directory beside the databases.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Return the manager that ``dagster.yaml`` describes."""
        below = str(Path(config_value["base_dir"]) / "compute_logs")
        return cls(inst_data=inst_data, **{**config_value, "base_dir": below})
