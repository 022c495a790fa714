"""Rolling least-squares slopes from a ring of the last values.

Source: signals.md section 2, P3. Values are taken in pairs around the window's middle, so a constant window has slope 0 to the
last bit, a negated one the negated slope, and nothing depends on values that have left.
"""

from engine.jit import kernel
from engine.schema import Floats


@kernel
def ring_slope(ring: Floats, newest: int, window: int) -> float:
    """Slope per bin over the ``window`` values of ``ring`` that end at place ``newest``.

    ``ring`` (length,) with length >= window; the caller sees to it that so many values are there.
    """
    length = ring.shape[0]
    late = newest
    early = newest - window + 1
    if early < 0:
        early += length
    lever = 0.5 * (window - 1)
    total = 0.0
    for _ in range(window // 2):
        total += lever * (ring[late] - ring[early])
        lever -= 1.0
        late = late - 1 if late > 0 else length - 1
        early = early + 1 if early < length - 1 else 0
    return total * 12.0 / (window * (window * window - 1.0))
