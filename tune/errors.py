"""What ends a command with exit code 1: the input was fine, the work was not."""

from engine.errors import WorkError


class RunFailedError(WorkError):
    """One line for the user: what failed, what state it left, how to go on."""
