"""JSON Schemas of the documents.

Belongs here: making them from the models. Doesn't: the models.

Documents may get new names without a new version. Therefore the published schemas, unlike the
models that documents are made from, allow unknown names.
"""

import json
from typing import Any

from contimg_resources.export.model import DOCUMENTS, SCHEMA_VERSION

#: Path of the schemas, in the export directory and below `docs` in the checkout.
DIRECTORY = f"schema/v{SCHEMA_VERSION}"


def schemas() -> dict[str, str]:
    """Return the text of each document's schema, by the document's name."""
    return {name: _schema(name) for name in DOCUMENTS}


def _schema(name: str) -> str:
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **DOCUMENTS[name].model_json_schema(),
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
