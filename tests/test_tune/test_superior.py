"""The max-t test over many trials: against `arch`, by hand, and against what it must not be moved by."""

import numpy as np
import pytest

from tune.superior import LIMIT, draws, long_run_variance, superiority


def panel(k: int, t: int, lean: float) -> np.ndarray:
    """Trials that wave, partly together, about means of their own."""
    i, j = np.arange(k)[:, None], np.arange(t)[None]
    wave = np.sin(1.7 * (i + 1) * (j + 1) + 0.3 * (j + 1) ** 2) * (1 + i % 3) + 0.9 * np.cos(0.5 * j * (i % 4 + 1))
    return np.asarray(wave + lean * ((7 * i) % 11 - 6))


@pytest.mark.parametrize(
    ("size", "length", "seed", "n_draws", "lean", "consistent", "superior"),
    [
        ((12, 48), 1, 5, 499, 0.06, 0.9478957915831663, ([], [])),
        ((12, 48), 4, 6, 499, 0.06, 0.9078156312625251, ([], [])),
        ((40, 96), 3, 7, 299, 0.05, 0.20735785953177258, ([], [36])),
        ((40, 96), 6, 8, 299, 0.10, 0.0, ([25, 36, 39], [3, 25, 36, 39])),
    ],
)
def test_hansens_form_is_that_of_arch(
    size: tuple[int, int],
    length: int,
    seed: int,
    n_draws: int,
    lean: float,
    consistent: float,
    superior: tuple[list[int], list[int]],
) -> None:
    """`arch` 8.0.0: ``SPA(0, -x, block_size, reps, seed=seed)`` and ``StepM(..., size=.05 and .3)``, stationary bootstrap.

    Three differences, named: `arch` does not divide by the deviations, whatever ``studentize`` says, so it was given ``x``
    divided by them; it takes the share of draws above and not (1 + draws) / (1 + draws in all); it never finds deviations anew.
    """
    returns = panel(*size, lean)
    found = superiority(returns, length, drawn=draws(size[1], length, n_draws, seed), anew=False)
    shares = (found * (n_draws + 1) - 1) / n_draws
    assert shares.min() == pytest.approx(consistent, abs=1e-9)
    assert tuple(np.flatnonzero(shares <= limit).tolist() for limit in (0.05, 0.3)) == superior


def test_the_long_run_variance_is_that_of_arch() -> None:
    """``SPA._loss_diff_var`` of the same trials divided by their deviations: three of twelve, in blocks of four."""
    i, j = np.arange(12)[:, None], np.arange(48)[None]
    x = np.sin(1.7 * (i + 1) * (j + 1) + 0.3 * (j + 1) ** 2) * (1 + i % 3) + 0.9 * np.cos(0.5 * j * (i % 4 + 1))
    found = long_run_variance(x / x.std(axis=1, keepdims=True), 4)
    assert found[:3].tolist() == pytest.approx([1.1497248875098875, 0.4467525843175573, 0.9007348372870994], abs=1e-9)


def test_the_long_run_variance_by_hand() -> None:
    """Of 1, 1, -1, -1 in blocks of two: weights .40625, .25, .40625 of the lags' products 1, -2, -1. In blocks of one: plain."""
    x = np.array([[1.0, 1.0, -1.0, -1.0]])
    assert long_run_variance(x, 2).tolist() == [0.75]
    assert long_run_variance(x, 1).tolist() == [1.0]


@pytest.mark.parametrize("length", [1, 4])
def test_a_draw_holds_as_many_spans_as_there_are_and_blocks_are_as_long_as_told(length: int) -> None:
    drawn = draws(12, length, 4000, 3)
    assert (drawn.sum(axis=1) == 12).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(12), abs=0.12)
    # What goes together is drawn together: the spread of a draw's sum is that of the long run (Politis and Romano, lemma 1).
    x = np.repeat([1.0, -1.0], 6)
    assert (drawn @ x).var() == pytest.approx(12 * long_run_variance(x[None], length)[0], rel=0.08)
    assert draws(12, length) is draws(12, length)


def noise(seed: int, k: int = 300, t: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((k, t))


def test_of_one_trial_the_test_is_the_bootstrap_of_its_t() -> None:
    """Spans +1 and -1 in turn, but for some more of the ups: mean 1/4. What of the draws lies as high is counted one by one."""
    x = np.where(np.arange(48) % 8 < 5, 1.0, -1.0)
    expected = 1
    for draw in draws(48, 1):
        drawn = np.repeat(x, draw.astype(int))
        expected += (drawn.mean() - x.mean()) / max(drawn.std(), 0.5 * x.std()) >= x.mean() / x.std()
    assert superiority(x[None]).tolist() == [expected / 1000]


def test_copies_of_a_trial_are_one_trial() -> None:
    x = noise(1)
    x[7] += 0.9
    alone, among = superiority(x), superiority(np.concatenate([x, np.repeat(x[3:4], 5000, axis=0)]))
    assert alone[7] <= LIMIT
    assert among[:300].tolist() == pytest.approx(alone.tolist(), abs=2e-3)
    dull = noise(2)
    assert np.nanmin(superiority(np.concatenate([dull, np.repeat(dull[3:4], 5000, axis=0)]))) == pytest.approx(
        np.nanmin(superiority(dull)), abs=2e-3
    )


def test_losing_trials_neither_hide_the_best_nor_lift_it() -> None:
    x = noise(3)
    x[7] += 0.9
    alone = superiority(x)
    losers = noise(4, 2000) - 3.0
    among = superiority(np.concatenate([x, losers]))
    assert among[7] == pytest.approx(alone[7], abs=2e-3)
    assert (among[300:] > 0.5).all()


def test_steps_go_on_down_the_list_and_never_back() -> None:
    x = noise(5)
    x[4], x[9] = x[4] + 1.2, x[9] + 1.0
    found = superiority(x)
    assert set(np.flatnonzero(found <= LIMIT)) == {4, 9}
    order = np.argsort(-x.mean(axis=1) / x.std(axis=1))
    assert (np.diff(found[order]) >= 0).all()


def test_what_does_not_vary_says_nothing() -> None:
    x = np.concatenate([np.zeros((1, 48)), np.full((1, 48), 0.1), noise(6, 2)])
    found = superiority(x)
    assert np.isnan(found).tolist() == [True, True, False, False]
    assert np.isnan(superiority(x[:2])).all()
    assert np.isnan(superiority(noise(6, 2, 2))).all()  # two spans are too few
    assert np.isfinite(superiority(noise(6, 2, 3))).all()
    assert len(superiority(np.zeros((0, 48)))) == 0


def test_a_trial_of_a_few_trades_does_not_drown_the_others() -> None:
    """In most draws a trial with one span of trades has none of them: it must not stand infinitely high there."""
    x = noise(7)
    x[7] += 1.2
    rare = np.zeros((200, 48))
    rare[np.arange(200), np.arange(200) % 48] = -8.0
    assert superiority(np.concatenate([x, rare]))[7] <= LIMIT
