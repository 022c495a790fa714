"""Where things lie in the lake, and where a path as typed leads."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from engine.errors import ConfigError, DatasetError

_CONFIGS: Final = Path("research", "vp_harness", "configs")
RAW_SUFFIXES: Final = (".dbn", ".dbn.zst")  # a download that is under way, or a copy set aside, has another
_KINDS: Final = {"sweep": Path(), "campaign": Path("gold_campaigns")}  # folders of configurations

_PACKAGE: Final = Path(__file__).resolve().parent
_BROUGHT: Final = _PACKAGE / "configs"  # in a wheel; a checkout has them in its own lake


@dataclass(frozen=True)
class Lake:
    """The data folder: one root, every path below it in one place.

    Source: interfaces.md, "Lake layout".

    Examples
    --------
    >>> from pathlib import Path
    >>> import engine
    >>> engine.Lake(Path("lake")).results.as_posix()
    'lake/research/vp_harness/results'
    """

    root: Path

    @classmethod
    def open(cls, arg: "str | Path | Lake | None" = None) -> Self:
        """Lake named by the argument, else by the environment (``SPYMASTER_LAKE``), else ``lake/``; a lake is itself.

        Raises
        ------
        ConfigError
            The name is neither text nor a path, or a URI, or something that is not a folder is in the way.
        """
        if isinstance(arg, cls):
            return arg
        if not isinstance(arg, str | Path | None):
            raise ConfigError(f"lake was {arg!r}; it must be the path of a folder, or None for $SPYMASTER_LAKE, else lake/")
        given = str(arg or os.environ.get("SPYMASTER_LAKE") or "lake")
        if "://" in given:
            raise ConfigError(f"lake was {given!r}; only a folder is allowed so far. Mount the store and pass its path")
        root = user_path(given).resolve()
        if root.exists() and not root.is_dir():
            raise ConfigError(f"lake was {given!r}, which is a file; it must be a folder. Pass --lake DIR")
        return cls(root)

    def raw_dir(self, symbol_root: str, product_type: str = "future_mbo") -> Path:
        return (
            self.root
            / "raw"
            / "source=databento"
            / f"product_type={product_type}"
            / f"symbol={symbol_root}"
            / "table=market_by_order_dbn"
        )

    @property
    def datasets(self) -> Path:
        return self.root / "research" / "vp_immutable"

    @property
    def harness(self) -> Path:
        return self.root / "research" / "vp_harness"

    @property
    def configs(self) -> Path:
        return self.root / _CONFIGS

    @property
    def results(self) -> Path:
        return self.harness / "results"

    @property
    def sweeps(self) -> Path:
        return self.harness / "sweeps"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def book_checkpoints(self) -> Path:
        """Books kept at the start of a warm-up."""
        return self.cache / "books"

    @property
    def keyframes(self) -> Path:
        """States of whole replays, kept on the way."""
        return self.cache / "keyframes"


def open_lake(path: str | Path | Lake | None = None) -> Lake:
    """The data folder, by its path.

    Parameters
    ----------
    path
        Of the folder; None for ``$SPYMASTER_LAKE``, else ``lake/`` where Python stands. It need not exist yet.

    Raises
    ------
    ConfigError
        It is a file, a URI, or no path at all.

    Examples
    --------
    >>> import engine
    >>> lake = engine.open_lake("lake")
    >>> lake.datasets.relative_to(lake.root).as_posix()
    'research/vp_immutable'
    """
    return Lake.open(path)


def raw_file(lake: Lake, symbol_root: str, dt: str, contract: str = "") -> Path:
    """The lake's one DBN file of a root symbol and a day.

    Parameters
    ----------
    dt : str
        Day as ``YYYY-MM-DD``.
    contract : str
        Of several files of that day, as about a roll, the one that bears this contract's name.

    Raises
    ------
    DatasetError
        None, or more than one; the message names the folder and what is in it.
    """
    folder = lake.raw_dir(symbol_root)
    day = dt.replace("-", "")
    present = sorted(p for p in folder.glob("*") if p.name.endswith(RAW_SUFFIXES))
    found = [p for p in present if day in p.name]
    found = files_of_contract(found, symbol_root, contract) if contract else found
    if len(found) == 1:
        return found[0]
    # The same capture compressed and not: the plain one is memory-mapped, hence faster.
    if len({p.name.removesuffix(".zst") for p in found}) == 1:
        return next(p for p in found if p.suffix == ".dbn")
    what = f"{len(found)} files of that day" if found else "no file of that day"
    names = ", ".join(p.name for p in (found or present)[:5]) or "nothing"
    raise DatasetError(
        f"dt was {dt} and {folder} holds {what} (there: {names}); exactly one *{day}*.dbn[.zst] is needed. "
        "Put it there or name the file with --dbn"
    )


def files_of_contract(paths: Sequence[Path], symbol_root: str, contract: str) -> list[Path]:
    """Those whose name begins with a contract's; where none does, those that bear no contract's of that root."""
    own = [path for path in paths if _is_of(path.name, contract)]
    return own or [path for path in paths if not _is_of_another(path.name, symbol_root)]


def _is_of(name: str, contract: str) -> bool:
    """Whether a file's name begins with a contract's, as a download names it."""
    return re.match(rf"{re.escape(contract)}(?![A-Za-z0-9])", name, re.IGNORECASE) is not None


def _is_of_another(name: str, symbol_root: str) -> bool:
    """Whether it begins with any contract's of the root."""
    return re.match(rf"{re.escape(symbol_root)}[FGHJKMNQUVXZ]\d{{1,2}}(?![A-Za-z0-9])", name, re.IGNORECASE) is not None


def config_file(lake: Lake, given: str | Path, kind: Literal["sweep", "campaign"]) -> Path:
    """The YAML file of a sweep or a campaign, by its path or by its name.

    A file that exists is taken as it is. A bare name, with or without ``.yaml``, is looked for in the lake's configurations,
    then among those that come with the packages: one's own go before the shipped ones.

    Parameters
    ----------
    given : str or Path
        As typed; a path of several parts is returned as it is, whether the file exists or not.

    Raises
    ------
    ConfigError
        A bare name that nothing bears; the line names those there are.
    """
    path = user_path(given)
    if path.is_file() or path.is_absolute() or len(path.parts) != 1:
        return path
    name = path.name if path.suffix in (".yaml", ".yml") else f"{path.name}.yaml"
    folders = [folder / _KINDS[kind] for folder in (lake.configs, shipped_configs())]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    known = sorted({found.stem for folder in folders for found in folder.glob("*.yaml")})
    raise ConfigError(
        f"{kind} was {str(given)!r}, which does not exist here, in {folders[0]} or among those that are shipped; "
        f"pass a path, or one of: {', '.join(known) or 'none'}"
    )


def shipped_configs() -> Path:
    """Folder of the configurations that come with the packages, laid out as `Lake.configs`."""
    return _BROUGHT if _BROUGHT.is_dir() else _PACKAGE.parent / "lake" / _CONFIGS


def user_path(text: str | Path) -> Path:
    """A path as a user types it, ``~`` and ``~name`` read as a shell reads them.

    Raises
    ------
    ConfigError
        Nobody here has that name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        name = Path(text).parts[0]
        raise ConfigError(
            f"path was {str(text)!r}; {name} is no user of this machine. Write ./{name} for a folder called so"
        ) from None
