"""What the settings of every stage have in common.

Belongs here: the base of a section. Doesn't: any setting.
"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings of one stage: frozen, and no name that isn't known."""

    model_config = ConfigDict(extra="forbid", frozen=True)
