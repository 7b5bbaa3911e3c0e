"""The parts of a workshop as Dagster's resources, for tests."""

from typing import Any

from contimg_resources.steps.workshop import PARTS


def parts_of(workshop: object) -> dict[str, Any]:
    """Return its parts by name; of a stand-in that lacks some, objects that do nothing."""
    found = {part: getattr(workshop, part, None) for part in PARTS}
    return {part: object() if value is None else value for part, value in found.items()}
