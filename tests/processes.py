"""Processes as /proc shows them: who descends from whom, and who carries a mark in the environment."""

from pathlib import Path


def descendants(pid: int) -> dict[int, str]:
    """Title of every live process below ``pid``."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
    found: dict[int, str] = {}
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= {child: _title(child) for child in level}
    return found


def marked(mark: str) -> dict[int, str]:
    """Title of every live process whose environment, as it was started, holds ``mark``."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = _title(int(folder.name))
            except OSError:
                continue  # it ended meanwhile, or is not ours
    return found


def _title(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
