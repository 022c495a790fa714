"""What the results page asks for: runs, their trades, days, champions and their records; over a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.champion import move_pointer
from engine.config import InstrumentConfig
from engine.dataset.read import Dataset
from engine.dataset.sealed import write_seal
from engine.lake import Lake
from engine.signals.registry import get_signal
from engine.trades.record import LiveRecord, record_path
from serve.board import state_of
from serve.settings import Limits, ServeSettings, StreamDefaults
from tests.blocks import publish_random
from tests.reference_trades import trades_of
from tests.test_serve.asking import Client
from tests.test_serve.conftest import DAY, Promote
from tests.test_serve.server import listen, serving
from tests.test_serve.test_paper import promise_by, rules_of
from tests.test_tune.small_sweep import DATASET, Capture, finished_sweep
from tune.cli import main
from tune.results import ResultStore
from tune.rules import Rules
from tune.trial import load_market, signal_series

RUNS = "/v1/experiments/runs"
BIG = ("_ns", "_int")
SLOW = pytest.mark.slow  # each table more is made by a process more
# What the service adds to a row of `compare`.
MORE = {"place", "sweep_id", "timestamp_utc", "config_hash", "dataset_checksum", "grid_variant_id", "resolved_params"} | {
    "evaluation",
    "lookahead",
    "code_version",
    "eval_max_hold_bins",
    "tick_size",
    "n_bins",
    "start_ns",
    "end_ns",
    "median_time_to_outcome_ms",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, raw: Path) -> Lake:
    """A lake with a day to play, a dataset and a sweep of it; not to be changed."""
    lake = Lake(tmp_path_factory.mktemp("swept") / "lake")
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True)
    (folder / raw.name).symlink_to(raw)
    publish_random(lake, DATASET, n_bins=2500, radius=5, seed=7)
    finished_sweep(lake)
    finished_sweep(
        lake, name="loose", eval={"tp_ticks": 4, "sl_ticks": 2, "max_hold_bins": 200, "warmup_bins": 100, "fee_per_contract": 0}
    )
    return lake


@pytest.fixture(scope="module")
def client(swept: Lake, config: InstrumentConfig) -> Iterator[Client]:
    with serving(ServeSettings(lake=swept, limits=Limits(champion_poll_s=0.05)), config) as running:
        yield Client(running)


def compared(lake: Lake, capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    """What ``python -m tune compare`` prints, all of it."""
    capsys.readouterr()
    assert main(["compare", "--lake", str(lake.root), "--json", "--top", "100000", *arguments]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def as_compared(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the service without what it adds, 64-bit numbers as such."""
    found = {name: value for name, value in row.items() if name not in MORE}
    found["coefficients_json"] = found.pop("coefficients")
    found["sessions"] = [
        {name: int(value) if name.endswith(BIG) else value for name, value in one.items()} for one in found["sessions"]
    ]
    return found


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", []),
        ("?best=0&all=1", ["--each-threshold", "--all"]),
        pytest.param(
            f"?dataset={DATASET}&signal=perm_derivative&min_signals=100",
            ["--dataset", DATASET, "--min-signals", "100"],
            marks=SLOW,
        ),
        pytest.param("?sweep=small&all=1", ["--sweep", "small", "--all"], marks=SLOW),
    ],
)
def test_the_leaderboard_is_that_of_compare_row_for_row(
    client: Client, swept: Lake, capsys: Capture, query: str, arguments: list[str]
) -> None:
    expected = compared(swept, capsys, *arguments)
    for one in expected:  # a text of JSON there, an object here
        one["coefficients_json"] = None if one["coefficients_json"] is None else json.loads(one["coefficients_json"])
    answer = client.get(RUNS + query)
    body = answer.json()
    assert answer.status_code == 200
    assert body["total"] == body["n_rows"] == len(expected) > 0
    assert body["is_current"] is True
    assert [as_compared(row) for row in body["rows"]] == expected
    arrow = pa.ipc.open_stream(client.get(f"{RUNS}.arrow{query}").data).read_all()
    keys = ("run_id", "threshold", "oos_expectancy_low", "loose", "deflated_sharpe")
    for name in keys:
        assert [plain(value) for value in arrow[name].to_pylist()] == [row[name] for row in expected], name


def plain(value: Any) -> Any:
    return None if value != value else value


def test_every_threshold_stands_there_where_it_is_asked_for(client: Client, swept: Lake) -> None:
    stored = ResultStore(swept).rows()
    strict = stored.filter(stored["rules_json"].str.contains('"fee_per_contract": 0.62'), stored["n_signals"] >= 5)
    body = client.get(f"{RUNS}?best=0").json()
    assert {(row["run_id"], row["threshold"]) for row in body["rows"]} == set(strict.select("run_id", "threshold").iter_rows())
    run_id = body["rows"][0]["run_id"]
    own = client.get(f"{RUNS}?best=0&run={run_id}").json()
    assert own["total"] == len(own["rows"]) == len(strict.filter(strict["run_id"] == run_id)) > 1
    assert [row["threshold"] for row in own["rows"]] == [row["threshold"] for row in body["rows"] if row["run_id"] == run_id]


def test_loose_runs_are_counted_and_marked_where_they_are_shown(client: Client) -> None:
    strict, everything = client.get(RUNS).json(), client.get(f"{RUNS}?all=1").json()
    assert (strict["n_loose"], everything["n_loose"]) == (4, 0)  # two cooldowns, two windows
    assert {row["loose"] for row in strict["rows"]} == {""}
    assert [row["loose"] for row in everything["rows"][-4:]] == ["no fee"] * 4
    assert [row["place"] for row in everything["rows"]] == [*range(1, strict["total"] + 1), *[None] * 4]
    assert any("best of" in line for line in strict["lines"])


def test_pages_of_the_leaderboard_follow_each_other(client: Client) -> None:
    whole = client.get(RUNS).json()
    n = whole["total"]
    parts = [client.get(f"{RUNS}?offset={first}&limit=3").json() for first in range(0, n, 3)]
    assert [row for part in parts for row in part["rows"]] == whole["rows"]
    assert {part["total"] for part in parts} == {n}
    behind = client.get(f"{RUNS}?offset={n}&limit=3").json()
    assert (behind["total"], behind["rows"]) == (n, [])


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}.arrow"])
def test_what_a_page_has_already_is_not_sent_again(client: Client, path: str) -> None:
    first = client.get(path, {"accept-encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.unpacked == client.get(path).data
    again = client.get(path, {"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.data, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get(path, {"if-none-match": '"another"'}).status_code == 200
    assert client.get(f"{path}?all=1").headers["etag"] != first.headers["etag"]
    head = client.get(path, method="HEAD")
    assert (head.status_code, head.data, head.headers["etag"]) == (200, b"", first.headers["etag"])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("?dataset=nope", 404, "no run of 'nope'"),
        pytest.param("?signal=nope", 404, "signal 'nope' is not known", marks=SLOW),
        pytest.param("?sweep=nope", 404, "sweep was 'nope'", marks=SLOW),
        ("?dataset=", 400, "it must be a name"),
        ("?sweep=../x", 400, "it must be a name"),
        ("?min_signals=0", 400, "it must be a whole number from 1"),
        ("?best=2", 400, "from 0 to 1"),
        ("?limit=2001", 400, "from 1 to 2000"),
        ("?limit=0", 400, "from 1 to 2000"),
        ("?offset=-1", 400, "from 0"),
        ("?run=xyz", 404, "16 hex digits"),
        ("?top=3", 400, "unknown query value 'top'"),
        ("?best=1&best=1", 400, "stands twice"),
    ],
)
def test_a_bad_question_gets_its_line(client: Client, swept: Lake, query: str, status: int, words: str) -> None:
    answer = client.get(RUNS + query)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert str(swept.root) not in answer.text


def test_a_curve_is_the_judges_trades(client: Client, swept: Lake) -> None:
    (row, *_) = client.get(RUNS).json()["rows"]
    stored = ResultStore(swept).rows([row["run_id"]]).filter(threshold=row["threshold"]).row(0, named=True)
    rules = Rules(**json.loads(stored["rules_json"]))
    signal = get_signal("perm_derivative")
    market = load_market(Dataset.open(swept, DATASET), [signal])
    tape = market.tape(rules)
    series = signal_series("perm_derivative", json.loads(stored["resolved_params_json"]), market)
    score = [float(s) if ok else float("nan") for s, ok in zip(series["score"], series["ready"], strict=True)]
    expected, _ = trades_of(score, tape, row["threshold"], rules)
    body = client.get(f"{RUNS}/{row['run_id']}/curve?threshold={row['threshold']}").json()
    told = body["trades"]
    assert body["n_trades"] == len(told) == row["n_signals"] == len(expected) > 20
    names = ("fired_bin", "entry_bin", "exit_bin", "direction", "reason", "pnl_ticks", "met_gap")
    assert [tuple(one[name] for name in names) for one in told] == [
        (one.fired, one.entry, one.exit_bin, one.sign, one.reason, one.pnl, one.met_gap) for one in expected
    ]
    assert sum(one["net_ticks"] for one in told) / len(told) == pytest.approx(row["expectancy_ticks"], rel=1e-12)
    for one in told:
        paid, left = int(one["entry_price_int"]), int(one["exit_price_int"])
        assert paid == (tape.ask if one["direction"] > 0 else tape.bid)[one["entry_bin"]]
        assert (left - paid) * one["direction"] == one["pnl_ticks"] * 250_000_000
        assert (one["entry_ns"], one["exit_ns"]) == tuple(str(market.ts_ns[one[name]]) for name in ("entry_bin", "exit_bin"))
    # five parts of the scored time after the first one, of six, each to be tested
    assert len(body["fold_starts_ns"]) == rules.n_folds
    assert body["fold_starts_ns"][0] == str(market.ts_ns[100 + 2400 // (rules.n_folds + 1)])
    assert (body["dataset_id"], body["signal"], body["evaluation"]["tp_ticks"]) == (DATASET, "perm_derivative", rules.tp_ticks)


def test_a_curve_without_a_threshold_is_that_of_the_runs_best(client: Client, swept: Lake) -> None:
    (row, *_) = client.get(RUNS).json()["rows"]
    lows = {one["threshold"]: one["expectancy_low"] for one in ResultStore(swept).rows([row["run_id"]]).iter_rows(named=True)}
    assert client.get(f"{RUNS}/{row['run_id']}/curve").json()["threshold"] == max(lows, key=lambda level: lows[level])


@pytest.mark.parametrize(
    ("tail", "status", "words"),
    [
        ("0123456789abcdef/curve", 404, "no such run"),
        ("xyz/curve", 404, "16 hex digits"),
        ("0123456789ABCDEF/curve", 404, "16 hex digits"),
        ("--help/curve", 404, "16 hex digits"),
        pytest.param("{run}/curve?threshold=0.123", 404, "was scored at", marks=SLOW),
        ("{run}/curve?threshold=x", 400, "it must be a number"),
        ("{run}/curve?threshold=1e999", 400, "it must be a number"),
        ("{run}/curve?threshold=nan", 400, "it must be a number"),
        ("{run}/curve?best=1", 400, "unknown query value 'best'"),
        ("{run}", 404, "nothing of that name"),
    ],
)
def test_a_curve_that_is_not_there_says_why(client: Client, tail: str, status: int, words: str) -> None:
    run_id = client.get(RUNS).json()["rows"][0]["run_id"]
    answer = client.get(f"{RUNS}/{tail.format(run=run_id)}")
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_a_curve_of_a_session_that_is_sealed_is_not_shown_not_even_from_before(config: InstrumentConfig, lake: Lake) -> None:
    dataset = publish_random(lake, DATASET, n_bins=2500, radius=5, seed=7)
    finished_sweep(lake)
    with serving(ServeSettings(lake=lake), config) as running:
        client = Client(running)
        run_id = client.get(RUNS).json()["rows"][0]["run_id"]
        assert client.get(f"{RUNS}/{run_id}/curve").status_code == 200
        before = state_of(lake)
        write_seal(lake, dataset.manifest, 0)
        assert state_of(lake) == before  # so the file is still there
        for path in (f"{RUNS}/{run_id}/curve", f"{RUNS}/{run_id}/curve?threshold=0.08"):
            refused = client.get(path)
            assert refused.status_code == 404
            assert "is sealed" in refused.json()["error"]


@SLOW
def test_a_run_that_came_since_is_in_the_next_answer(config: InstrumentConfig, lake: Lake) -> None:
    publish_random(lake, DATASET, n_bins=2500, radius=5, seed=7)
    with serving(ServeSettings(lake=lake), config) as running:
        client = Client(running)
        empty = client.get(RUNS)
        assert (empty.status_code, empty.json()["total"], empty.json()["rows"]) == (200, 0, [])
        finished_sweep(lake)
        full = client.get(RUNS, {"if-none-match": empty.headers["etag"]})
        while full.status_code == 304 or not full.json()["is_current"]:  # each waits a while for the new one
            full = client.get(RUNS, {"if-none-match": empty.headers["etag"]})
        assert full.json()["total"] == 8


def test_days_tell_what_can_be_played_and_nothing_of_a_sealed_one(config: InstrumentConfig, lake: Lake, raw: Path) -> None:
    folder = lake.raw_dir("MNQ")
    (folder / "glbx-20260207.mbo.dbn").write_bytes(b"nothing of the kind")
    (folder / "glbx-20260209.mbo.dbn").symlink_to(raw)
    (folder / "glbx-20261340.mbo.dbn").write_bytes(b"no such day")
    (folder / "glbx-20260210.mbo.dbn.part").write_bytes(b"under way")
    dataset = publish_random(lake, DATASET, n_bins=50, radius=5, seed=7)
    write_seal(lake, {**dataset.manifest, "dt": "2026-02-09", "config": {"symbol": "MNQH6"}}, 0)
    with serving(ServeSettings(lake=lake), config) as running, running.connect(dt=DAY) as stream:
        listen(stream, n_bins=1)
        body = Client(running).get("/v1/sessions").json()
    sealed, broken, good = body["days"]
    assert sealed == {
        "dt": "2026-02-09",
        "symbol": "MNQH6",
        "is_sealed": True,
        "can_play": False,
        "reason": "a session of this day is held out",
    }
    assert (broken["dt"], broken["can_play"]) == ("2026-02-07", False)
    assert broken["reason"].startswith("glbx-20260207.mbo.dbn is not a DBN file")
    assert (good["dt"], good["can_play"], good["file"], good["reason"]) == (DAY, True, raw.name, None)
    assert good["start_ns"] == "1770387900000000000"  # 09:25 in New York
    (playing,) = body["open"]
    assert [playing[name] for name in ("dt", "start_time", "speed", "model", "shared", "clients")] == [
        DAY,
        None,
        1.0,
        "champion",
        True,
        1,
    ]
    settings = ServeSettings(lake=lake, defaults=StreamDefaults(sealed_ok=True))
    with serving(settings, config) as running:
        first = Client(running).get("/v1/sessions").json()["days"][0]
        assert (first["is_sealed"], first["bytes"]) == (True, raw.stat().st_size)


def test_a_record_is_told_with_its_promise_and_every_link_checked(config: InstrumentConfig, lake: Lake, promote: Promote) -> None:
    champion = promote(lake, promise=promise_by(rules_of()))
    record = LiveRecord(lake, champion.version)
    entries = [
        {"kind": "open", "session": "MNQH6@1", "bin": 7, "session_start_ns": 1, "entry_ns": 10, "price_int": 5},
        {"kind": "close", "session": "MNQH6@1", "bin": 7, "exit_ns": 20, "net_ticks": 1.25},
    ]
    record.append(entries)
    with serving(ServeSettings(lake=lake), config) as running:
        client = Client(running)
        body = client.get("/v1/model/record/1").json()
        assert (body["version"], body["total"], body["standing"]) == (1, 2, "not_proven")
        assert body["promise"]["at_least_ticks"] == 0.5
        assert (body["record"]["n_trades"], body["record"]["net_mean"], body["record"]["trouble"]) == (1, 1.25, None)
        assert [(one["kind"], one["bin"]) for one in body["entries"]] == [("open", 7), ("close", 7)]
        assert body["entries"][0]["entry_ns"] == "10"
        assert body["record"]["head"] == record.head
        last = client.get("/v1/model/record/1?offset=1&limit=1").json()
        assert ([one["kind"] for one in last["entries"]], last["total"]) == (["close"], 2)
        etag = client.get("/v1/model/record/1").headers["etag"]
        assert client.get("/v1/model/record/1", {"if-none-match": etag}).status_code == 304
        for version in ("0", "2", "01x", "-1", "1" * 30):
            assert client.get(f"/v1/model/record/{version}").status_code == 404
        path = record_path(lake, 1)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"1.25", b"9.25"))
        broken = client.get("/v1/model/record/1").json()
        assert "is broken at entry 1 of champion-000001.jsonl" in broken["record"]["trouble"]
        move_pointer(lake, None)
        history = client.get("/v1/model/champion").json()["history"]
        assert history[0]["promise"]["at_least_ticks"] == 0.5
