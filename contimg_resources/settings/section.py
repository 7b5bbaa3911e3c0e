"""The base class of all sections of settings.

Belongs here: common behaviour. Doesn't: any setting.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings of one stage: immutable; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed(self, **values: Any) -> Self:
        """Return these settings with other values, as an argument of a command gives them.

        Raises
        ------
        pydantic.ValidationError
            If a name isn't known, or a value isn't allowed.
        """
        return self.model_validate({**self.model_dump(), **values})
