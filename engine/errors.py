"""The errors a user can meet: one line each, saying what was given, what is allowed and how to mend it."""


class EngineError(Exception):
    """Bad input to any part of the system; doors print it as one line and exit with code 2."""


class ConfigError(EngineError):
    """A value in a configuration, an override or a request is not allowed."""


class SourceError(EngineError):
    """An input file cannot be read as market-by-order data of the locked contract."""


class DatasetError(EngineError):
    """A dataset is missing, incomplete, damaged, or would be rewritten."""


class ChampionError(EngineError):
    """A champion cannot be loaded, promoted or rolled back."""


class WorkError(EngineError):
    """The input was fine, the work was not: what failed, what state it left, how to go on; doors exit with code 1."""
