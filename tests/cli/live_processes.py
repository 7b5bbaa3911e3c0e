"""Which processes live on a state directory."""

from pathlib import Path


def processes_of(state: Path) -> list[str]:
    """Command lines of all live processes whose environment names the state directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"CONTIMG_STATE={state}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except (OSError, UnicodeDecodeError):
            continue
    return found
