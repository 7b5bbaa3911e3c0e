"""Write docs/schema from the models of the documents, so that the two always agree.

Belongs here: the files. Doesn't: the schemas (see `contimg_resources.export.model`). Run by
``make docs``; a test fails while the files in the checkout aren't up to date.
"""

import sys
from pathlib import Path

from contimg_resources.export.model import DIRECTORY, schemas


def write_schema_pages(docs: Path) -> None:
    """Write the schemas below the documentation's directory, and remove obsolete ones."""
    directory = docs / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    current = {f"{name}.json": text for name, text in schemas().items()}
    for name, text in current.items():
        (directory / name).write_text(text)
    for file in directory.glob("*.json"):
        if file.name not in current:
            file.unlink()


if __name__ == "__main__":
    write_schema_pages(Path(sys.argv[1]))
