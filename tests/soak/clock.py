"""The time of day of a platform under attack, moved while its processes run.

Belongs here: the library that they preload, and by how much it is ahead. Doesn't: when it moves.
"""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Self

_SOURCE = Path(__file__).with_name("clock.c")


def may_move_clock() -> bool:
    """Tell whether the library can be made here."""
    return shutil.which("cc") is not None


class Clock:
    """A time of day of its own for all processes with an environment.

    Parameters
    ----------
    directory : Path
        Where it lies.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self._library = directory / "clock.so"
        self.ahead_s = 0
        self.move(0)

    @classmethod
    def made(cls, directory: Path) -> Self:
        """Make the library."""
        clock = cls(directory)
        command = ("cc", "-O2", "-shared", "-fPIC", "-o", str(clock._library), str(_SOURCE))
        subprocess.run(command, check=True)
        return clock

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the processes that go by it."""
        return {"LD_PRELOAD": str(self._library), "SOAK_CLOCK": str(self._file)}

    def move(self, ahead_s: int) -> None:
        """Let it be ahead of the true one, seconds."""
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("=q", ahead_s))
        self.ahead_s = ahead_s
