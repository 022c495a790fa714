"""How impulses become rates: the `finite` kernel of the reference numbers and the `exact` one in continuous time.

Both are chains of three first-order filters, v -> a -> j. Without input each is a linear map of (v, a, j) that depends on the
elapsed time alone; `step_map` gives its entries. What differs is how an input enters:

- ``finite`` turns a delta into a rate over the time since the slot's last touch, so a second delta at the same instant never
  reaches the chain, and the result depends on where time was cut.
- ``exact`` takes a delta as an impulse at its instant. It does not depend on how time is cut, and the integral of v over all
  time is the sum of the deltas.

Source: engine.md sections 3 and 11. Divided differences of the exponential: Higham, Functions of Matrices, section 4.6 and 10.
"""

import math
from typing import Final

from engine.config import Params
from engine.jit import inline_kernel

MAP_SIZE: Final = 7  # mass decay; v<-v; a<-v, a<-a; j<-v, j<-a, j<-j
StepMap = tuple[float, float, float, float, float, float, float]

SATURATED: Final = 50.0  # dt/tau beyond which a filter has forgotten everything
SERIES_SPREAD: Final = 0.1  # arguments closer than this: a power series, since differences would cancel
INVERSE_FACTORIALS: Final = tuple(1.0 / math.factorial(n) for n in range(2, 13))


@inline_kernel
def alpha_of(dt: float, tau: float) -> float:
    """Share of the new value that a finite first-order filter takes in over ``dt`` seconds."""
    x = dt / tau
    if x > SATURATED:
        return 1.0
    return 1.0 - math.exp(-x)


@inline_kernel
def exp_difference(x: float, y: float) -> float:
    """(exp(x) - exp(y)) / (x - y), and its limit exp(x) where they meet; ``x, y <= 0``."""
    high = max(x, y)
    width = min(x, y) - high
    if width == 0.0:
        return math.exp(high)
    return math.exp(high) * (math.expm1(width) / width)


@inline_kernel
def exp_second_difference(x: float, y: float, z: float) -> float:
    """Divided difference of the exponential at three points, all <= 0, in any order, equal ones allowed."""
    high = max(x, max(y, z))
    low = min(x, min(y, z))
    middle = max(min(x, y), min(max(x, y), z))
    if high - low > SERIES_SPREAD:
        return (exp_difference(high, middle) - exp_difference(middle, low)) / (high - low)
    u = middle - high
    w = low - high
    homogeneous = 1.0  # complete symmetric polynomial of (u, w) of degree n
    power = 1.0
    total = INVERSE_FACTORIALS[0]
    for n in range(1, len(INVERSE_FACTORIALS)):
        power *= w
        homogeneous = u * homogeneous + power
        total += homogeneous * INVERSE_FACTORIALS[n]
    return math.exp(high) * total


@inline_kernel
def exact_map(dt: float, p: Params) -> StepMap:
    """exp(A dt) of the three filters in a row."""
    x = -dt / p.tau_velocity
    y = -dt / p.tau_acceleration
    z = -dt / p.tau_jerk
    to_a = -1.0 / (p.tau_velocity * p.tau_acceleration)
    to_j = -1.0 / (p.tau_acceleration * p.tau_jerk)
    v_to_j = to_a / p.tau_jerk
    return (
        math.exp(-dt / p.tau_rest_decay),
        math.exp(x),
        to_a * dt * exp_difference(x, y),
        math.exp(y),
        v_to_j * dt * exp_difference(x, z) + to_a * to_j * dt * dt * exp_second_difference(x, y, z),
        to_j * dt * exp_difference(y, z),
        math.exp(z),
    )


@inline_kernel
def finite_map(dt: float, p: Params) -> StepMap:
    """One finite step with rate zero."""
    alpha_v = alpha_of(dt, p.tau_velocity)
    alpha_a = alpha_of(dt, p.tau_acceleration)
    alpha_j = alpha_of(dt, p.tau_jerk)
    from_v = -(alpha_a / dt) * alpha_v
    gain_j = alpha_j / dt
    return (
        math.exp(-dt / p.tau_rest_decay),
        1.0 - alpha_v,
        from_v,
        1.0 - alpha_a,
        gain_j * from_v,
        -gain_j * alpha_a,
        1.0 - alpha_j,
    )


@inline_kernel
def step_map(dt: float, p: Params) -> StepMap:
    """The map of ``dt`` > 0 seconds without input."""
    if p.exact:
        return exact_map(dt, p)
    return finite_map(dt, p)
