"""The published JSON Schemas of the documents, which are made from their models.

Belongs here: the text of each schema. Doesn't: the models (see `model`), writing files.
"""

import json
from typing import Any

from contimg_resources.export.appearances import NewSourceReport
from contimg_resources.export.follow_up import FollowUp
from contimg_resources.export.model import DOCUMENTS
from contimg_resources.export.parts import SCHEMA_VERSION, Document

#: Models of all documents, and of the files beside them that have a schema too.
_MODELS: dict[str, type[Document]] = {
    **DOCUMENTS,
    "follow_up": FollowUp,
    "new_source": NewSourceReport,
}
#: Path of the schemas, in the export directory and below `docs` in the checkout.
DIRECTORY = f"schema/v{SCHEMA_VERSION}"


def schemas() -> dict[str, str]:
    """Return the text of each document's schema, by the document's name."""
    return {name: _schema(model) for name, model in _MODELS.items()}


def _schema(model: type[Document]) -> str:
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(),
    }
    return json.dumps(_opened(found), indent=2) + "\n"


def _opened(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: _opened(value)
            for key, value in part.items()
            if not (key == "additionalProperties" and value is False)
        }
    return [_opened(value) for value in part] if isinstance(part, list) else part
