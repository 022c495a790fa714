"""Words of errors as others may read them: without a place of this machine."""

import re
from typing import Any, Final

# A path from the root of this machine, as our errors write them; that of an address has a letter or a colon before it.
_PATH: Final = re.compile(r"(?<![\w:/.~-])/[\w.+=@~-]+(?:/[\w.+=@~-]*)+")


def without_paths(text: str) -> str:
    """A line with the paths of this machine cut to what they lead to: a page is told the file, not where it lies.

    A folder of the lake is ``the lake``'s.
    """

    def short(found: re.Match[str]) -> str:
        path = found[0].rstrip("/.")
        name = path.rpartition("/")[2]
        return (name if "." in name else "the lake" if "=" in name or "/lake" in path else name) + found[0][len(path) :].lstrip(
            "/"
        )

    return " ".join(_PATH.sub(short, text).split())


def without_paths_in(value: Any) -> Any:
    """The same in every text of a JSON-able value."""
    if isinstance(value, str):
        return without_paths(value) if "/" in value else value
    if isinstance(value, dict):
        return {name: without_paths_in(one) for name, one in value.items()}
    return [without_paths_in(one) for one in value] if isinstance(value, list | tuple) else value
