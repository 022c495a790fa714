"""How strict the rules of a run were: which runs may be ranked side by side, and which look better than they could be traded.

Runs rank among runs of one `rules_group`. A run with a word from `looseness` carries it in every table, heads none, and is not
promoted unless that is forced with a reason.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import polars as pl

from engine.signals.base import SignalLike

# What a candidate may choose for itself; by all other rules a row is ranked among its own kind only. Warm-up and embargo follow the
# signal's memory.
_OWN: Final = frozenset({"tp_ticks", "sl_ticks", "cooldown_bins", "warmup_bins", "embargo_bins"})
MARK: Final = "loose"  # names of columns
GROUP: Final = "rules"
_CALIBRATED: Final = "threshold_source"
_WHOLE_SAMPLE: Final = f"{_CALIBRATED}=whole_sample"


def seen_ahead(scorer: SignalLike) -> tuple[str, ...]:
    """What a signal reads ahead: parameters that let its score see later bins, and thresholds taken from all of the session."""
    source = getattr(scorer.params, _CALIBRATED, None)
    return (*scorer.lookahead, *([_WHOLE_SAMPLE] if source == "whole_sample" else []))


def looseness(rules: Mapping[str, Any], lookahead: str = "") -> tuple[str, ...]:
    """Why a run's rules are loose, a word or two each; none where they are strict.

    Parameters
    ----------
    rules
        Fields of `tune.rules.Rules`.
    lookahead
        What the run's signal reads ahead, as its row says it.
    """
    return _looseness(json.dumps(dict(rules), sort_keys=True), lookahead)


@lru_cache(maxsize=4096)
def _looseness(rules_json: str, lookahead: str) -> tuple[str, ...]:
    rules = json.loads(rules_json)
    words = [
        "mid fill" if rules.get("fill") != "touch" else "",
        "no fee" if rules.get("fee_per_contract", 0.0) <= 0 else "",
        "no delay" if rules.get("feed_delay_bins", 0) + rules.get("order_delay_bins", 0) <= 0 else "",
        "unsound bins" if not rules.get("sound_only") else "",
        "whole-sample thresholds" if _WHOLE_SAMPLE in lookahead else "",
    ]
    other = " ".join(lookahead.replace(_WHOLE_SAMPLE, "").split())
    return tuple(word for word in (*words, f"lookahead {other}" if other else "") if word)


@lru_cache(maxsize=4096)
def rules_group(rules_json: str, lookahead: str = "") -> str:
    """What two runs must share to be ranked side by side: all rules but barriers, cooldown, warm-up and embargo, and lookahead."""
    rules = {name: value for name, value in sorted(json.loads(rules_json).items()) if name not in _OWN}
    return json.dumps([rules, lookahead])


def with_mark(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `MARK`, why each is loose (empty where it is strict), and `GROUP`, a name of its `rules_group`.

    Rows that have both already are left as they are.
    """
    if MARK in rows.columns and GROUP in rows.columns:
        return rows
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(None, pl.String)).fill_null("").alias(name)
        for name in ("rules_json", "lookahead", "resolved_params_json")
    ]
    columns[2] = columns[2].str.json_path_match(f"$.{_CALIBRATED}") == "whole_sample"  # of rows from before lookahead said it
    marks, groups = [], []
    for rules, lookahead, is_whole in rows.with_columns(columns).select("rules_json", "lookahead", "resolved_params_json").iter_rows():
        ahead = lookahead or (_WHOLE_SAMPLE if is_whole else "")
        marks.append(", ".join(_looseness(rules, ahead)) if rules else "")
        groups.append(_name(rules_group(rules, ahead)) if rules else "")
    return rows.with_columns(pl.Series(MARK, marks, pl.String), pl.Series(GROUP, groups, pl.String))


def in_groups(ranked: pl.DataFrame) -> pl.DataFrame:
    """Rows in order of rank, those of one rules group together: strict groups first, then by the best row of each."""
    best = pl.col("place").min().over(GROUP)
    return ranked.with_row_index("place").sort(pl.col(MARK) != "", best, "place").drop("place")


def places(ranked: pl.DataFrame) -> list[str]:
    """The place of each row among those of its rules; none of a loose one, which heads nothing."""
    seen: dict[str, int] = {}
    found = []
    for mark, group in ranked.select(MARK, GROUP).iter_rows():
        seen[group] = seen.get(group, 0) + 1
        found.append("loose" if mark else str(seen[group]))
    return found


def strict(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose rules are strict."""
    marked = with_mark(rows)
    return rows.filter(marked.get_column(MARK) == "")


@lru_cache(maxsize=4096)
def _name(group: str) -> str:
    return sha256(group.encode()).hexdigest()[:6]
