"""``python -m tests.soak``: attack a platform for some minutes, and say whether it settled.

Belongs here: arguments, output, the exit code. Doesn't: anything that happens.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from contimg_resources.core.trees import remove_tree
from tests.soak.agent import soak
from tests.soak.faults import FAULTS


def main() -> int:
    """Run one soak; 0 when the platform settled by itself, with nothing lost, doubled or left."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="so long it is attacked")
    parser.add_argument("--seed", type=int, default=1, help="decides everything random")
    parser.add_argument("--faults-per-minute", type=float, default=3.0)
    parser.add_argument(
        "--settle-minutes",
        type=float,
        default=5.0,
        help="so long nothing may change before it has settled",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[fault.name for fault in FAULTS],
        metavar="FAULT",
        help="inject this fault, and others that are named so, alone",
    )
    parser.add_argument("--directory", type=Path, help="where all of it lies; a new one by default")
    given = parser.parse_args()
    root = given.directory or Path(tempfile.mkdtemp(prefix="contimg-soak-")) / "soak"
    soaked = soak(
        root,
        seed=given.seed,
        minutes=given.minutes,
        faults_per_minute=given.faults_per_minute,
        settle_minutes=given.settle_minutes,
        only=given.only,
        say=lambda words: print(words, flush=True),
    )
    print("injected:", ", ".join(f"{n} x {name}" for name, n in soaked.injected.most_common()))
    for finding in soaked.findings:
        print(finding)
    print(f"seed {soaked.seed}: {soaked.verdict}")
    if soaked.findings:
        print(f"kept to be looked at: {soaked.root}")
        return 1
    remove_tree(soaked.root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
