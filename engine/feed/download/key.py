"""The vendor's key: where it comes from, and that it goes nowhere else."""

import os
import stat
from pathlib import Path
from typing import Final

from engine.errors import ConfigError

KEY_ENV: Final = "DATABENTO_API_KEY"
_HIDDEN: Final = "********"


class Key:
    """A key that shows itself to nobody: only `reveal` gives it, to the vendor's client."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"Key({_HIDDEN})"

    def __reduce__(self) -> str:
        raise ConfigError("a key cannot be written down; read it where it is needed")

    def reveal(self) -> str:
        """The key itself."""
        return self._text

    def hide(self, text: str) -> str:
        """A text without the key in it, on one line."""
        return " ".join(text.replace(self._text, _HIDDEN).split())


def read_key(path: Path | None) -> Key:
    """The key from a file that only its owner reads, or from the environment.

    Raises
    ------
    ConfigError
        There is none, others may read the file, or it is no key.
    """
    if path is None:
        text, where = os.environ.get(KEY_ENV, ""), f"${KEY_ENV}"
    else:
        where = str(path)
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{path} is no file; name the file that holds the key")
            if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid():
                raise ConfigError(f"{path} holds a key and is not its owner's alone; say chmod 600 {path}")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read for the key: {error}; name a text file") from None
    text = text.strip()
    if not text:
        raise ConfigError(f"no key was given: {where} is empty; set {KEY_ENV}, or give --key-file a file of mode 600")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigError(f"{where} holds something else than a key; a key is one word of letters, digits and dashes")
    return Key(text)
