"""Supervise a CASA process, so that no child outlives its step.

Run as a script with ``python -I -S``: imports only a few standard modules. It holds the
read end of a pipe whose write end only the caller has. When the caller dies, even from SIGKILL, the
pipe closes and the whole process group (CASA, plotms and their children) is killed.
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
        # Nothing is ever written: a readable pipe means that the caller is gone.
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    # A SIGTERM to the group reaches this process too; it stays until the child is gone, so that it
    # can report how the child ended. A handler, unlike SIG_IGN, isn't inherited.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # The child must hold neither end of the pipe.
    os.set_inheritable(int(sys.argv[1]), False)
    status = main(int(sys.argv[1]), sys.argv[2:])
    if status < 0:
        # Report to the caller which signal ended the child.
        sys.exit(128 - status)
    sys.exit(status)
