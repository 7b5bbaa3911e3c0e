"""Trees of directories that no path can name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contimg_resources.core.trees import remove_tree


@contextmanager
def nested(root: Path, depth: int = 1500) -> Iterator[Path]:
    """Make directories within one another, a file in the last; removed at the end."""
    root.mkdir(parents=True)
    (root / "table.dat").write_bytes(b"rows")
    here = os.open(root, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("last", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    try:
        yield root
    finally:
        # Pytest's own removal would recurse.
        remove_tree(root, ignore_errors=True)
