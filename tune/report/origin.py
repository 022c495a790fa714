"""Where a report's figures come from: hashes, versions, the sweep's file, and the commands that make it again."""

from datetime import UTC, datetime
from html import escape

import yaml

from tune.report.gather import Findings
from tune.report.words import table


def origin(f: Findings) -> str:
    """Datasets, code, versions, configuration and commands."""
    shown = f.origins.unique(["dataset_id", "signal_name", "code_version"], keep="first", maintain_order=True).head(100)
    rows = [
        [
            escape(row["dataset_id"]),
            f"{_time(row['start_ns'])} to {_time(row['end_ns'])}, {row['n_bins']:,} bins",
            f"<code>{escape(row['dataset_checksum'])}</code>",
            escape(row["signal_name"]),
            f"<code>{escape(row['code_version'])}</code>",
        ]
        for row in shown.iter_rows(named=True)
    ]
    heads = ["dataset", "time, UTC", "checksum", "signal", "code version"]
    data = table(heads, rows, "data and code of the runs") if rows else ""
    sweep = f.state.sweep_id
    limit = f" --limit {f.state.limit}" if f.state.limit else ""
    commands = [
        f"python -m tune sweep {f.config.name}.yaml{limit}    # the configuration below, as a file",
        f"python -m tune sweep --resume {sweep}    # only what is missing",
        f"python -m tune compare --sweep {sweep} --all --sessions",
        f"python -m tune report {sweep}",
    ]
    versions = ", ".join(f"{name} {value}" for name, value in f.versions.items())
    return (
        data
        + f"<p>Configuration <code>{escape(f.state.config_hash)}</code>; seed {f.config.search.seed}; {escape(versions)}.</p>"
        + f"<h3>To make it again</h3><pre tabindex='0'>{escape(chr(10).join(commands))}</pre>"
        + "<details><summary>The sweep's configuration</summary>"
        + f"<pre tabindex='0'>{escape(yaml.safe_dump(f.state.config, sort_keys=False, allow_unicode=True))}</pre></details>"
    )


def _time(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M}"
