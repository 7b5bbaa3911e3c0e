"""Stands between a step and its CASA process, so that no child outlives the step.

Run as a script with ``python -I -S``: imports nothing but a few standard modules. It holds the
read end of a pipe whose write end only the caller has. When the caller dies, even by SIGKILL, the
pipe closes and the whole process group (CASA, plotms, whatever they started) is killed.
"""

import os
import select
import signal
import subprocess
import sys


def main(pipe: int, command: list[str]) -> int:
    """Run `command` until it ends or the pipe closes; return its exit status, negative: signal."""
    child = subprocess.Popen(command, close_fds=False)
    os.set_inheritable(pipe, False)
    child_end = os.pidfd_open(child.pid)
    while True:
        ready, _, _ = select.select([pipe, child_end], [], [])
        if child_end in ready:
            return child.wait()
        # Nothing is ever written: readable means that the caller is gone.
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    # A group that is asked to end gets the signal too; this process stays until the child is gone,
    # so that it can still tell how it ended. A handler, unlike SIG_IGN, isn't inherited.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # The child must not hold the pipe's other end, nor this one.
    os.set_inheritable(int(sys.argv[1]), False)
    status = main(int(sys.argv[1]), sys.argv[2:])
    if status < 0:
        # Leave nothing of a crashed child's group behind, and tell the caller which signal it was.
        sys.exit(128 - status)
    sys.exit(status)
