"""The base classes of all documents.

Belongs here: what every document has. Doesn't: any document (see `model`).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

#: Rises when a name is removed or changes its meaning; new names don't change it.
SCHEMA_VERSION: Literal[2] = 2


class Part(BaseModel):
    """A part of a document."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Document(Part):
    """A JSON file."""

    schema_version: Literal[2] = SCHEMA_VERSION
