"""The base class of all sections of settings.

Belongs here: common behaviour. Doesn't: any setting.
"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings of one stage: immutable; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
