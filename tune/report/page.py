"""Binds the sections to one page that stands for itself: no script, nothing fetched, every name escaped."""

from html import escape

from tune.report.gather import Findings
from tune.report.origin import origin
from tune.report.pictures import coefficients, importance, landscape, rates, scores, stability, ways
from tune.report.style import STYLE
from tune.report.words import board, failures, overfitting, summary

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # should a name ever get through, it still could not act


def page(f: Findings) -> str:
    """The HTML of a sweep's report."""
    sections = [
        ("board", "Leaderboard", board(f)),
        ("scores", "Scores and luck", scores(f)),
        ("overfitting", "Overfitting", overfitting(f)),
        ("parameters", "Which parameters matter", importance(f) + ways(f) + landscape(f)),
        ("time", "Over time, folds and sessions", stability(f)),
        ("rates", "Hit rate and number of trades", rates(f)),
        ("coefficients", "Beyond the baselines", coefficients(f)),
        ("failures", "Failed points", failures(f)),
        ("origin", "Where it comes from", origin(f)),
    ]
    sections = [one for one in sections if one[2]]
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in sections)
    body = "".join(
        f'<section id="{key}" aria-labelledby="h-{key}"><h2 id="h-{key}">{escape(name)}</h2>{text}</section>'
        for key, name, text in sections
    )
    title = escape(f"{f.config.name}: sweep report")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body>{summary(f)}"
        f'<nav aria-label="Sections">{links}</nav><main>{body}</main>'
        f'<footer class="soft">Made from the results of sweep {escape(f.state.sweep_id)}. All net figures are after costs. '
        "Past results of a search are the most flattering view of it.</footer></body></html>\n"
    )
