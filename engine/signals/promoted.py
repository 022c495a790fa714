"""A champion's signal: built in, or loaded from the source that stands in the champion, and then only where that is allowed."""

from hashlib import sha256

from engine.champion import Champion, FittedState, SignalSource, source_digest
from engine.errors import ChampionError, ConfigError
from engine.modules import source_files, standing, top_of
from engine.signals.base import SignalContext, SignalLike
from engine.signals.bundle import Bundle, load_bundle
from engine.signals.carried import begun_with, fitted_state
from engine.signals.declaration import require_declared
from engine.signals.registry import BUILT_IN, get_signal, load_class, origin, signal_of

_taken: dict[str, str] = {}  # entry points this process has loaded for a champion, and the hash of their sources then


def source_of(name: str) -> SignalSource | None:
    """What a champion must hold so that a signal can be loaded again; None for a built-in one.

    Raises
    ------
    ConfigError
        The signal is unknown, or is a class that no file or entry point gives.
    """
    known = origin(name)
    if known.kind == "built-in":
        return None
    if known.bundle is not None:
        bundle = known.bundle
        return SignalSource(kind="file", hash=bundle.hash, main=bundle.main, files=dict(bundle.sources))
    if known.kind != "entry point":
        raise ConfigError(f"signal {name} comes from a {known.where}; put it in a file and name that with --signals FILE")
    files = _installed_files(known.target)
    distribution, version = known.distribution
    return SignalSource(
        kind="entry point",
        hash=source_digest(known.target, files),
        main=known.target,
        distribution=distribution,
        distribution_version=version,
        files=files,
    )


def promoted_class(champion: Champion) -> type[SignalLike]:
    """The class of a champion's signal; whoever calls it has made sure that foreign code may run here.

    Raises
    ------
    ChampionError
        Its source is not what the champion says, or what is installed here is another version.
    ConfigError
        The signal is not known, or does not load.
    """
    source, name = champion.source, champion.signal
    if source is None:
        return load_built_in(name)
    if name in BUILT_IN:
        raise ChampionError(f"champion version {champion.version} brings its own {name}, which is the name of a built-in signal")
    if source.digest() != source.hash:
        raise ChampionError(
            f"champion version {champion.version}: the source of {name} hashes to {source.digest()}, the champion says "
            f"{source.hash}; it was changed after its promotion. Promote the run again"
        )
    if source.kind == "file":
        signals = load_bundle(Bundle(source.main, source.files)).signals
        if name not in signals:
            raise ChampionError(f"champion version {champion.version}: its source holds {', '.join(signals)}, not {name}")
        cls = signals[name]
    else:
        cls = _installed_class(champion, source)
    require_declared(cls, f"champion version {champion.version}")
    return cls


def make_promoted(champion: Champion, context: SignalContext | None = None) -> SignalLike:
    """A fresh signal of a champion.

    Parameters
    ----------
    context : SignalContext, optional
        Default the one the champion was scored on.

    Raises
    ------
    ChampionError, ConfigError
        As `promoted_class` does; or a parameter is not allowed.
    """
    own = SignalContext(champion.cell_width_ms, champion.grid_radius_ticks, champion.tick_int)
    return begun(champion, signal_of(promoted_class(champion), champion.parameters, context or own))


def begun(champion: Champion, signal: SignalLike) -> SignalLike:
    """A champion's fresh signal with the fitted state that the champion carries, if any.

    Raises
    ------
    ChampionError
        The state was not read (`engine.champion.with_fitted`), is damaged, or belongs to other parameters or another grid.
    """
    fitted = champion.fitted
    if fitted is None:
        return signal
    if not fitted.data:
        raise ChampionError(f"the fitted state of champion version {champion.version} was not read; read it with with_fitted")
    try:
        return begun_with(signal, fitted.data)
    except ConfigError as error:
        raise ChampionError(f"champion version {champion.version} carries a fitted state that does not load: {error}") from error


def fitted_of(signal: SignalLike, dataset_id: str, end_ns: int) -> FittedState | None:
    """What a champion carries of a signal that has seen a session to its end, UTC ns; None where there is nothing to carry."""
    data = fitted_state(signal)
    if data is None:
        return None
    return FittedState(dataset_id=dataset_id, end_ns=end_ns, n_bytes=len(data), sha256=sha256(data).hexdigest(), data=data)


def load_built_in(name: str) -> type[SignalLike]:
    """The class of a built-in signal, whatever else is installed.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    if name not in BUILT_IN:
        raise ConfigError(f"signal {name!r} is not known; choose one of: {', '.join(sorted(BUILT_IN))}")
    return load_class(BUILT_IN[name], f"signal {name}")


def _installed_class(champion: Champion, source: SignalSource) -> type[SignalLike]:
    """The class an entry point gives here, if it is the one that was promoted."""
    name = champion.signal
    promoted = f"{source.distribution} {source.distribution_version}".strip()
    try:
        known = origin(name)
    except ConfigError as error:
        raise ChampionError(f"champion version {champion.version} needs {promoted} installed here: {error}") from error
    if known.kind != "entry point" or known.target != source.main:
        raise ChampionError(f"champion version {champion.version} needs {source.main} of {promoted}; here is {known.where}")
    if (before := _taken.get(known.target)) is not None:  # Python keeps what it has imported, whatever lies on the disk now
        if before != source.hash:
            raise ChampionError(
                f"champion version {champion.version} needs {promoted}, and this process runs {known.target} of another source; "
                "start it again to take the new one"
            )
        return get_signal(name)
    found = _installed_files(known.target)
    if source_digest(known.target, found) != source.hash:
        differs = sorted(file for file in found.keys() | source.files.keys() if found.get(file) != source.files.get(file))
        raise ChampionError(
            f"champion version {champion.version} was promoted with {promoted}; here is {' '.join(known.distribution)}, where "
            f"{', '.join(differs)} differs. Install what was promoted, or promote a run of what is installed"
        )
    cls = get_signal(name)
    _taken[known.target] = source.hash
    return cls


def _installed_files(target: str) -> dict[str, str]:
    """Sources of an installed signal's own package, by module; nothing of it is run."""
    home = target.partition(":")[0]
    found = standing([home], f"signal {target}", lambda module: False)
    return {module: source.decode() for module, source in source_files(found, {top_of(home)})}
