"""What a ``runtime_config`` says of wishes that change nothing."""

from engine.config import InstrumentConfig
from serve.champion import SignalChoice
from serve.request import StreamRequest
from serve.settings import CHAMPION, Projection


def notices_of(request: StreamRequest, choice: SignalChoice, config: InstrumentConfig) -> list[str]:
    """A line for each."""
    notices = []
    names = ", ".join(request.perm_names)
    if names and choice.origin == CHAMPION:
        notices.append(
            f"perm_* values configure the instrument's own signal; champion version {choice.version} scores instead, so "
            f"{names} changes nothing. With model=instrument it does"
        )
    elif "perm_mixed_weight" in request.perm_names and not config.perm_enable_weighted_blend:
        notices.append("perm_mixed_weight changes nothing without perm_enable_weighted_blend=true")
    if request.projection != Projection():
        notices.append("projection_model is for clients that project the spectrum's score; nothing here is computed from it")
    return notices
