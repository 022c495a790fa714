"""Overfitting, deflation and the ledger: against plain definitions and published figures. Calibration has its own file."""

import json
import shutil
from itertools import combinations

import numpy as np
import pytest

from engine.lake import Lake
from tests.test_tune.small_sweep import COMMON, evaluated, finished_sweep, points_of
from tune import luck as luck_module
from tune.beside import with_luck
from tune.cli import main
from tune.leaderboard import rank
from tune.ledger import TrialLedger, tried_on
from tune.luck import Luck, best_by_chance, deflated_sharpe, null_sharpe_std, overfitting_probability, sharpe, widening
from tune.results import ResultStore
from tune.run import read_state, run_sweep
from tune.screen import Screen

Capture = pytest.CaptureFixture[str]


def plain_overfitting(returns: np.ndarray, n_groups: int) -> float:
    """The algorithm of the paper, halving by halving."""
    groups = np.split(returns, n_groups, axis=1)
    below = []
    for half in combinations(range(n_groups), n_groups // 2):
        seen = np.concatenate([groups[g] for g in half], axis=1)
        unseen = np.concatenate([groups[g] for g in range(n_groups) if g not in half], axis=1)
        best = int(np.argmax(seen.mean(1) / seen.std(1)))
        performance = unseen.mean(1) / unseen.std(1)
        rank_of_best = (performance < performance[best]).sum() + 1
        share = rank_of_best / (len(returns) + 1)
        below.append(0.5 if share == 0.5 else float(np.log(share / (1 - share)) < 0))
    return float(np.mean(below))


@pytest.mark.parametrize("seed", range(5))
def test_overfitting_equals_the_plain_algorithm(seed: int) -> None:
    returns = np.random.default_rng(seed).standard_normal((7 + seed, 24)) + 0.1 * np.arange(7 + seed)[:, None]
    assert overfitting_probability(returns, 8) == pytest.approx(plain_overfitting(returns, 8), abs=1e-12)


def test_overfitting_of_skill_and_of_nothing_to_choose() -> None:
    rng = np.random.default_rng(0)
    returns = rng.standard_normal((20, 48))
    returns[3] += 3.0
    assert overfitting_probability(returns) == 0.0
    assert overfitting_probability(np.tile(returns[:1], (5, 1))) == 0.5  # the same trial five times over
    for n in range(2, 20):  # however many there are
        assert overfitting_probability(np.tile(returns[:1], (n, 1)), 8) == 0.5, n
    assert np.isnan(overfitting_probability(returns[:1]))
    with pytest.raises(ValueError, match="cannot be grouped"):
        overfitting_probability(returns[:, :47])


def test_best_by_chance_is_what_the_best_of_many_draws_shows() -> None:
    rng = np.random.default_rng(1)
    for n in (10, 100, 1000):
        drawn = 0.5 * rng.standard_normal((4000, n)).max(1).mean()
        assert best_by_chance(n, 0.5) == pytest.approx(drawn, rel=0.03)
    assert best_by_chance(1, 0.5) == best_by_chance(0, 0.5) == 0.0


def test_deflated_sharpe_of_the_papers_example() -> None:
    """Bailey and Lopez de Prado 2014: SR 2.5 a year over 5 years of days, skew -3, kurtosis 10, 100 trials of variance 1/2."""
    chance = best_by_chance(100, np.sqrt(0.5)) / np.sqrt(250)
    assert chance == pytest.approx(0.1132, abs=5e-4)
    target, skew, kurtosis, n = 2.5 / np.sqrt(250), -3.0, 10.0, 1250
    returns = with_moments(n, skew, kurtosis) + target
    assert deflated_sharpe(returns, chance) == pytest.approx(0.9004, abs=2e-3)


def with_moments(n: int, skew: float, kurtosis: float) -> np.ndarray:
    """A sample of mean 0, variance 1 and close to the given third and fourth moments: three values in fixed shares."""
    from scipy.optimize import fsolve

    def off(x: np.ndarray) -> list[float]:
        a, b, p = x
        q = (1 - p * a * a) / (b * b)  # variance 1 with the rest at c
        c = -(p * a + q * b) / (1 - p - q)
        rest = 1 - p - q
        values, shares = np.array([a, b, c]), np.array([p, q, rest])
        z = values / np.sqrt((shares * values**2).sum())
        return [(shares * z**3).sum() - skew, (shares * z**4).sum() - kurtosis, rest * c * c]

    a, b, p = fsolve(off, [-3.3, 0.3, 0.09])
    q = (1 - p * a * a) / (b * b)
    counts = np.round(np.array([p, q]) * n).astype(int)
    sample = np.concatenate([np.full(counts[0], a), np.full(counts[1], b), np.zeros(n - counts.sum())])
    return (sample - sample.mean()) / sample.std()


def test_a_flat_record_has_no_deflated_ratio() -> None:
    assert np.isnan(deflated_sharpe(np.zeros(48), 0.1))
    assert np.isnan(deflated_sharpe(np.array([1.0, 2.0]), 0.1))


def luck_of(pbo: float, deflated: float, p: float) -> Luck:
    return Luck("d", 10, 10, pbo, 1.0, 0.5, deflated, p, p, 10, 1.0)


@pytest.mark.parametrize(
    ("pbo", "deflated", "words"),
    [
        (0.05, 0.99, "worth a try"),
        (0.05, 0.40, "no better than the luck"),
        (0.60, 0.99, "choosing by rank does not carry over"),
        (0.60, 0.40, "do not use it"),
        (float("nan"), 0.99, "Too few trials"),
    ],
)
def test_the_two_are_read_together_in_one_line(pbo: float, deflated: float, words: str) -> None:
    luck = luck_of(pbo, deflated, 0.01 if deflated > 0.9 else 0.5)
    assert words in luck.words
    assert "\n" not in luck.words + luck.chance_line + luck.assumptions


def test_every_trial_counts_once_whoever_scored_it(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake))
    ledger = TrialLedger(lake)
    assert tried_on(ledger.trials(), ["0" * 64]).n == 0
    ledger.add(results[:5], "first", "now")
    ledger.add(results[3:], "second", "later")
    tried = tried_on(ledger.trials(), ["0" * 64])
    assert tried.n == 8 * 6
    assert len(tried.known) == 48
    assert tried_on(ledger.trials(), ["1" * 64]).n == 0  # other raw files
    assert all(part.stat().st_mode & 0o222 == 0 for part in ledger.folder.iterdir())


def test_deleting_results_and_running_again_leaves_the_count(lake: Lake) -> None:
    sweep_id = finished_sweep(lake)
    ledger = TrialLedger(lake)
    ledger.add(evaluated(lake, points_of(lake)), sweep_id, "now")
    before = tried_on(ledger.trials(), ["0" * 64]).n
    shutil.rmtree(lake.results)
    results = evaluated(lake, points_of(lake))
    ledger.add(results, "again", "later")
    ResultStore(lake).append(results, sweep_id="again", **COMMON)
    assert tried_on(ledger.trials(), ["0" * 64]).n == before == 48


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_sweep_writes_its_trials_down_before_its_results(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep_id = finished_sweep(lake)
    shutil.rmtree(lake.results)

    def lost(*args: object, **more: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ResultStore, "append", lost)
    with pytest.raises(OSError, match="disk full"), Screen() as screen:
        run_sweep(read_state(lake, sweep_id), lake, "local", screen)
    assert tried_on(TrialLedger(lake).trials(), ["0" * 64]).n > 0
    assert len(ResultStore(lake).meta()) == 0


def test_more_trials_on_the_same_files_deflate_the_same_row(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake))
    store, ledger = ResultStore(lake), TrialLedger(lake)
    store.append(results, sweep_id="s", **COMMON)
    ranking = rank(store.rows(), "oos_expectancy_low", 5)
    ledger.add(results[:1], "s", "now")
    few = with_luck(ranking, store.rows(), ledger.trials(), 5)
    ledger.add(results, "s", "now")
    many = with_luck(ranking, store.rows(), ledger.trials(), 5)
    assert many.ranking.item(0, "n_trials") == 48 > few.ranking.item(0, "n_trials")
    assert many.ranking.item(0, "chance_sharpe") > 0
    assert 0 <= many.ranking.item(0, "pbo") <= 1
    assert len(many.lucks) == 1
    assert many.ranking.drop("n_trials", "chance_sharpe", "deflated_sharpe", "spa_p", "pbo").equals(ranking)


def test_compare_leaves_looser_rules_out_unless_asked(lake: Lake, capsys: Capture) -> None:
    finished_sweep(lake)
    reference = {"tp_ticks": [2, 4], "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100, "form": "reference"}
    finished_sweep(lake, eval=reference)
    assert main(["compare", "--lake", str(lake.root), "--json"]) == 0
    strict = json.loads(capsys.readouterr().out)
    assert len(strict) == 8
    assert all(row["fill_model"].startswith("touch") for row in strict)
    assert main(["compare", "--lake", str(lake.root), "--json", "--all"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert len(every) == 16
    fills = [row["fill_model"].split(" ")[0] for row in every]
    assert fills == ["touch"] * 8 + ["mid"] * 8  # free fills look better: they stand behind whatever they claim
    assert {row["loose"] for row in every[8:]} == {"mid fill, no fee, no delay, unsound bins"}
    assert main(["compare", "--lake", str(lake.root)]) == 0
    assert "8 runs under looser rules" in capsys.readouterr().out.replace("\n", " ")


def test_compare_shows_luck_beside_the_ranking(lake: Lake, capsys: Capture) -> None:
    finished_sweep(lake)
    TrialLedger(lake).add(evaluated(lake, points_of(lake)), "s", "now")
    assert main(["compare", "--lake", str(lake.root)]) == 0
    text = capsys.readouterr().out
    for words in ("best of 48 trials by chance alone", "probability of backtest overfitting", "choosing as you go among 48 rows"):
        assert words in text.replace("\n", " ")
    assert main(["compare", "--lake", str(lake.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"n_trials", "chance_sharpe", "deflated_sharpe", "pbo", "fill_model", "expectancy_low"} <= set(found[0])
    lows = [row["oos_expectancy_low"] for row in found if row["oos_expectancy_low"] is not None]
    assert lows == sorted(lows, reverse=True)


# --- numbers worked out by hand ---


def test_a_ratio_per_span_from_its_sums() -> None:
    """Of 1 and 5 over two spans: mean 3, variance 13 - 9 = 4. Of a constant: nothing varies."""
    found = sharpe(np.array([6.0, 4.0, -6.0]), np.array([26.0, 8.0, 26.0]), 2.0)
    assert found.tolist() == [1.5, 0.0, -1.5]


@pytest.mark.parametrize(
    ("returns", "expected"),
    [  # two groups: each half once. Of A and B the better in one half is, in the other:
        ([[3.0, 4.0, 0.0, 1.0], [1.0, 2.0, 2.0, 3.0]], 1.0),  # the worse, both times
        ([[3.0, 4.0, 2.0, 3.0], [1.0, 2.0, 0.0, 1.0]], 0.0),  # the better, both times
        # A, best in the first half (ratios 7, 5, 3), is second of three in the second: a half. There C is best, and last here.
        ([[3.0, 4.0, 2.0, 3.0], [2.0, 3.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]], 0.75),
    ],
)
def test_overfitting_of_two_halves_by_hand(returns: list[list[float]], expected: float) -> None:
    assert overfitting_probability(np.array(returns), 2) == expected


def test_the_time_is_halved_in_16_groups_unless_told_otherwise() -> None:
    returns = np.random.default_rng(3).standard_normal((6, 48))
    assert overfitting_probability(returns) == overfitting_probability(returns, 16) != overfitting_probability(returns, 8)


def test_many_trials_are_taken_in_parts_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(4).standard_normal((6, 24))
    whole = overfitting_probability(returns, 8)
    monkeypatch.setattr(luck_module, "_CHUNK", 6 * 13)  # 70 halvings in parts of 13, the last one of 5
    assert overfitting_probability(returns, 8) == whole


@pytest.mark.parametrize(("n", "expected"), [(0, 0.0), (1, 0.0), (2, 0.51976), (3, 0.85280), (100, 2.53060)])
def test_the_best_of_so_many_without_skill(n: int, expected: float) -> None:
    """(1 - 0.57722) z(1 - 1/n) + 0.57722 z(1 - 1/(n e)), from a table of the normal distribution."""
    assert best_by_chance(n, 1.0) == pytest.approx(expected, abs=5e-5)
    assert best_by_chance(n, 3.0) == pytest.approx(3 * expected, abs=15e-5)


@pytest.mark.parametrize(
    ("returns", "chance", "expected"),
    [
        # Ratio 2.44949, skew 0, kurtosis 1.5: scale 1 + 0.5 / 4 * 6 = 1.75; Phi((2.44949 - 1) sqrt 2 / sqrt 1.75) = Phi(1.54957)
        ([1.0, 2.0, 3.0], 1.0, 0.93937),
        # Mean 1, deviation sqrt 3, skew 2 / sqrt 3, kurtosis 7/3: scale 1 - 2/3 + 1/9 = 4/9; Phi(0.57735 sqrt 3 * 1.5) = Phi(1.5)
        ([0.0, 0.0, 0.0, 4.0], 0.0, 0.93319),
        # The mirror image: skew - 2 / sqrt 3, ratio - 0.57735: the same scale
        ([0.0, 0.0, 0.0, -4.0], 0.0, 0.06681),
        ([1.0, 1.0], 0.0, float("nan")),
        ([5.0, 5.0, 5.0], 0.0, float("nan")),
    ],
)
def test_a_deflated_ratio_by_hand(returns: list[float], chance: float, expected: float) -> None:
    assert deflated_sharpe(np.array(returns), chance) == pytest.approx(expected, abs=2e-5, nan_ok=True)


@pytest.mark.parametrize(
    ("pbo", "deflated", "words"),
    [
        (0.2, 0.96, "choosing by rank does not carry over"),  # the limits themselves do not pass
        (0.199, 0.951, "worth a try"),
        (0.199, 0.95, "no better than the luck"),
        (0.2, 0.95, "do not use it"),
        (0.1, float("nan"), "Too few trials"),
    ],
)
def test_on_the_limits_nothing_is_claimed(pbo: float, deflated: float, words: str) -> None:
    assert words in luck_of(pbo, deflated, 0.05 if deflated > 0.95 else 0.051).words


@pytest.mark.parametrize(
    ("deflated", "p", "is_real", "words"),
    [
        (0.951, 0.05, True, "worth a try."),
        (0.951, 0.051, False, "The deflated Sharpe ratio alone would pass it; the max-t test does not, and it takes both."),
        (0.95, 0.05, False, "The max-t test alone would pass it; the deflated Sharpe ratio does not, and it takes both."),
        (0.95, 0.051, False, "not in skill."),
        (0.99, float("nan"), False, "to tell luck from skill."),
    ],
)
def test_luck_is_ruled_out_by_both_tests_together(deflated: float, p: float, is_real: bool, words: str) -> None:
    luck = luck_of(0.1, deflated, p)
    assert luck.is_real == is_real
    assert luck.words.endswith(words)


def test_what_the_figures_take_for_granted_is_said() -> None:
    told = Luck("d", 30, 12, 0.1, 1.0, 0.5, 0.9, 0.2, 0.3, 21, 1.25).assumptions
    assert "all 30 trials" in told
    assert "which of 21 are alike; 9 more are counted" in told
    assert "more than 1.25 minutes apart" in told
    assert "more are counted" not in Luck("d", 30, 12, 0.1, 1.0, 0.5, 0.9, 0.2, 0.3, 30, 1.25).assumptions


@pytest.mark.parametrize(("n", "widened", "expected"), [(26, 1.0, 0.2), (26, 4.0, 0.4), (1, 1.0, float("inf")), (2, 1.0, 1.0)])
def test_ratios_without_skill_spread_by_the_length_of_the_record_alone(n: int, widened: float, expected: float) -> None:
    assert null_sharpe_std(n, widened) == expected


def test_neighbours_that_go_together_widen_and_those_that_alternate_do_not_narrow() -> None:
    """1, 1, -1, -1 in blocks of two: weights of the lags 1 to 3 are .75 / 2 + .25 / 8 = .40625, .25, .40625 of products that add
    up to 1, -2 and -1: (4 + 2 (.40625 - .5 - .40625)) / 4 = .75, which does not narrow. Runs of six do widen."""
    assert widening(np.array([1.0, 1.0, -1.0, -1.0]), 2) == 1.0
    assert widening(np.array([1.0, 1.0, -1.0, -1.0]), 1) == 1.0
    assert widening(np.zeros(4), 2) == 1.0
    steps = np.repeat([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0], 6)
    assert widening(steps, 4) > 1.5


def test_a_widened_ratio_is_deflated_by_its_root() -> None:
    """As below: ratio 2.44949, scale 1.75, but twice the variance: Phi(1.54957 / sqrt 2) = Phi(1.09571)."""
    assert deflated_sharpe(np.array([1.0, 2.0, 3.0]), 1.0, 2.0) == pytest.approx(0.86340, abs=2e-5)


def test_every_figure_stands_at_its_place_in_the_line() -> None:
    assert Luck("d", 11, 12, 0.13, 1.14, 0.15, 0.16, 0.017, 0.018, 19, 1.25).chance_line == (
        "best of 11 trials by chance alone: Sharpe +0.15 per root hour; the best here: +1.14; deflated Sharpe ratio 0.16; "
        "max-t test over 19 trials: p 0.018 for the best here, 0.017 for the best of all; "
        "probability of backtest overfitting 0.13 over 12 rows"
    )
