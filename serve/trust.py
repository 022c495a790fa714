"""Whose code may run here: built-in signals always, others' only where whoever runs the service has said so."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.champion import Champion
from engine.errors import ChampionError, ConfigError

ALLOW_ENV: Final = "SPYMASTER_ALLOW_SIGNALS"
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ALL: Final = "all"


@dataclass(frozen=True)
class Trust:
    """What foreign signals a replica loads: all of them, or those of some source hashes."""

    all_signals: bool = False
    hashes: tuple[str, ...] = ()

    def require(self, champion: Champion) -> None:
        """Refuse a champion whose signal is foreign and not allowed; nothing of it has run then.

        Raises
        ------
        ChampionError
            Naming the hash, and how to allow it.
        """
        source = champion.source
        if source is None or self.all_signals:
            return
        found = source.digest()  # of what would run, whatever the champion says
        if found not in self.hashes:
            held = f"distribution {source.distribution}" if source.distribution else f"file {source.main}.py"
            raise ChampionError(
                f"champion version {champion.version} brings its own signal {champion.signal} ({held}), and this service runs no "
                f"foreign code. Read it, then allow it with --allow-signal {found} (or all of them with --allow-signals)"
            )


def read_trust(allow_all: bool, hashes: Sequence[str], environment: Mapping[str, str] = os.environ) -> Trust:
    """What the command line and the environment allow.

    Raises
    ------
    ConfigError
        What is given is no hash of a signal's source.
    """
    named = [word.strip() for word in environment.get(ALLOW_ENV, "").split(",") if word.strip()]
    allow_all = allow_all or _ALL in named
    listed = [*hashes, *(word for word in named if word != _ALL)]
    for one in listed:
        if not _HASH.fullmatch(one):
            raise ConfigError(
                f"--allow-signal was {one!r}; it must be the 64 hex digits of a source's SHA-256, as the refusal names them "
                f"(or {ALLOW_ENV}={_ALL}, or hashes with commas between them)"
            )
    return Trust(allow_all, tuple(dict.fromkeys(listed)))
