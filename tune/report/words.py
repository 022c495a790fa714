"""The parts of a report that are words and tables: what the judge says, the leaderboard, figures of overfitting, failures."""

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from tune.leaderboard import CAPTION, interval, parameter_parts
from tune.luck import DSR_LIMIT, PBO_LIMIT
from tune.report.gather import Findings
from tune.strictness import MARK, places
from tune.superior import LIMIT as SPA_LIMIT


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, right: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already; columns ``right`` hold figures."""
    kind = ['class="n"' if i in right else 'class="p"' for i in range(len(heads))]
    head = "".join(f'<th scope="col" {kind[i] if i in right else ""}>{escape(name)}</th>' for i, name in enumerate(heads))
    body = "".join(f"<tr>{''.join(f'<td {kind[i]}>{cell}</td>' for i, cell in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(value: Any, form: str = ".2f") -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None or value != value else format(value, form)


def summary(f: Findings) -> str:
    """The judge's sentence, what follows from it, and the size of the search."""
    lucks = f.found.beside.lucks
    if not len(f.top):
        least = f.config.eval.min_signals
        said = "Nothing to judge: no run took enough trades to be ranked."
        more = [
            f"A row needs {least} trades. Lower eval.min_signals, or widen the grid." if f.n_done else "No point has a result."
        ]
        kind = "bad"
    else:
        said, kind = lucks[0].words, "bad"
        if not f.gate:
            kind = "good"
        elif lucks[0].is_real:
            kind = ""
        more = [_promotion(f), f.found.beside.choosing.line]
        if all(one == one for one in (lucks[0].deflated, lucks[0].row_p, lucks[0].pbo)):
            more += [lucks[0].chance_line, lucks[0].assumptions]
    paragraphs = "".join(f"<p>{escape(one)}</p>" for one in more[:2]) + "".join(
        f'<p class="soft">{escape(x)}</p>' for x in more[2:]
    )
    asked = len(f.state.run_ids)
    tiles = [
        (f"{f.n_done:,} of {asked:,}", "points with results"),
        (f"{len(f.failures):,}", "failed"),
        (f"{len(f.found.ranked):,}", "candidates ranked"),
        (f"{lucks[0].n_trials:,}" if lucks else "–", "trials ever counted on these data"),
        (f"{len(f.found.rows.get_column('dataset_id').unique()):,}", "datasets"),
    ]
    shown = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in tiles)
    told = f.config.description.strip()
    return (
        f"<header><h1>{escape(f.config.name)}</h1>"
        f'<p class="soft">Sweep {escape(f.state.sweep_id)}, begun {escape(f.state.created_at)}</p>'
        + (f"<p>{escape(told)}</p>" if told else "")
        + f'<div class="verdict {kind}"><strong>{escape(said)}</strong>{paragraphs}</div>'
        + f'<div class="tiles">{shown}</div></header>'
    )


def _promotion(f: Findings) -> str:
    head = f.top.row(0, named=True)
    if f.gate:
        return f"Not to be promoted: the head of the board, run {head['run_id']}, fails: {', '.join(f.gate)}."
    return f"May be promoted: python -m tune promote {head['run_id']} --threshold {head['threshold']!r}"


def board(f: Findings) -> str:
    """The best rows; each unfolds to its sessions and its whole parameters."""
    if not len(f.top):
        return ""
    rows = []
    for place, row in zip(places(f.top), f.top.iter_rows(named=True), strict=True):
        mark = f'<span class="loose">loose: {escape(row[MARK])}</span> ' if row[MARK] else ""
        rows.append(
            [
                escape(place),
                f"<code>{escape(row['run_id'])}</code><br>{mark}{escape(row['signal_name'])}",
                _unfolding(row),
                f"{row['eval_tp_ticks']:g}/{row['eval_sl_ticks']:g}",
                f"{row['threshold']:g}",
                str(row["n_signals"]),
                figure(row["tp_rate"], ".3f"),
                escape(interval(row, "expectancy")),
                escape(interval(row, "oos_expectancy")),
                str(row["oos_n_signals"]),
                figure(row["deflated_sharpe"]),
                figure(row["spa_p"], ".3f"),
            ]
        )
    heads = [
        "#",
        "run",
        "parameters",
        "tp/sl",
        "thr",
        "n",
        "TP rate",
        "net [95 %]",
        "out of sample [95 %]",
        "oos n",
        "DSR",
        "max-t p",
    ]
    n = len(f.found.ranked)
    shown = f"the best {len(rows)} of {n:,} candidates" if n > len(rows) else f"all {n} candidates"
    said = f"{shown}, by {f.objective}; open a row's parameters for its sessions"
    return table(heads, rows, said, range(3, 12)) + f'<p class="soft">{escape(CAPTION)}</p>'


def _unfolding(row: dict[str, Any]) -> str:
    text = escape(", ".join(parameter_parts(json.loads(row["signal_params_json"]))))
    sessions = "".join(
        f"<tr><td>{escape(one['dataset_id'])}<br><code>{escape(one['run_id'])}</code></td><td class='n'>{one['threshold']:g}</td>"
        f"<td class='n'>{one['n_signals']}</td><td class='n'>{escape(interval(one, 'expectancy'))}</td>"
        f"<td class='n'>{escape(interval(one, 'oos_expectancy'))}</td></tr>"
        for one in row["sessions"]
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("session", "thr", "n", "net [95 %]", "out of sample [95 %]"))
    n = row["n_sessions"]
    return (
        f"<details><summary>{text} <span class='soft'>({n} session{'s' if n > 1 else ''})</span></summary>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{sessions}</tbody></table></details>"
    )


def overfitting(f: Findings) -> str:
    """The figures of luck, a row for each set of sessions."""
    if not f.found.beside.lucks:
        return ""
    rows = [
        [
            escape(one.lineage),
            f"{one.n_trials:,}",
            figure(one.pbo),
            figure(one.best_sharpe, "+.2f"),
            figure(one.chance_sharpe, "+.2f"),
            figure(one.deflated),
            figure(one.row_p, ".3f"),
            figure(one.spa_p, ".3f"),
            escape(one.words),
        ]
        for one in f.found.beside.lucks
    ]
    heads = [
        "sessions",
        "trials",
        "PBO",
        "best Sharpe",
        "by chance",
        "DSR",
        "p of the best here",
        "p of the best of all",
        "in words",
    ]
    asked = (
        f"PBO: how often what is best in one half of the time is not above the middle in the other (good below {PBO_LIMIT:g}). "
        f"DSR: probability that the best Sharpe ratio beats the best of as many trials without skill (good above {DSR_LIMIT:g}). "
        f"p: max-t test of superior predictive ability over all trials together (good up to {SPA_LIMIT:g}). "
        "Sharpe ratios are per square root of an hour."
    )
    return f"<p class='soft'>{escape(asked)}</p>" + table(heads, rows, "luck, for each set of sessions", range(1, 8))


def failures(f: Findings) -> str:
    """Failed points by reason."""
    if not f.failures:
        return ""
    reasons = Counter(str(one.get("reason", "")) for one in f.failures)
    first = {str(one.get("reason", "")): str(one.get("run_id", "")) for one in reversed(f.failures)}
    rows = [[escape(why[:400]), f"{n:,}", f"<code>{escape(first[why])}</code>"] for why, n in reasons.most_common(30)]
    left = f"; the 30 most frequent of {len(reasons):,} reasons" if len(reasons) > 30 else ""
    return table(["reason", "points", "first run"], rows, f"{len(f.failures):,} points failed{left}", (1,))
