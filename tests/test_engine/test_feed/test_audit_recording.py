"""A recorded day against the vendor's file: each difference with its time and its reason, the bins, the report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.config import load_instrument
from engine.dataset.lineage import corrections
from engine.feed.audit.work import Part, audit, recorded_parts
from engine.feed.follow import Hole
from engine.lake import Lake
from tests.audits import N_OPENING, Rows, day_rows, official, recorded, time_of
from tests.streams import DAY, SYMBOL, write_dbn

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def told(lake: Lake, capsys: Capture, *more: object) -> tuple[int, dict[str, Any]]:
    code = main(["audit-recording", f"{DAY}", "--lake", str(lake.root), "--json", *map(str, more)])
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, json.loads(printed.out)


def test_a_clean_day_says_0(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    recorded(lake, [rows[:1000], rows[1000:]])
    assert main(["audit-recording", f"{DAY}", "--lake", str(lake.root)]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("MNQH6 2026-02-06: 3,013 records of ours, 3,013 official: 0 differences, so none in any bin")
    code, values = told(lake, capsys)
    assert (code, values["is_clean"], values["bins"]) == (0, True, None)
    assert values["records"] == {"counts": {}, "holes": [], "differences": []}
    reports = sorted((lake.root / "recordings/MNQH6/2026-02-06").glob("audit-*.json"))
    assert len(reports) == 2  # the second does not replace the first
    kept = json.loads(reports[1].read_text())
    assert kept["n_ours"] == 3013
    assert [Path(one["path"]).name for one in kept["files"]["ours"]] == ["0001.dbn"]
    assert reports[1].stat().st_mode & 0o222 == 0


def edited(rows: Rows) -> tuple[Rows, list[tuple[str, int]]]:
    """Twenty differences behind the opening: places in the file, which are counted from the opening's end in the report."""
    plan = {N_OPENING: "omitted", len(rows) - 1: "altered", 100: "swapped", 200: "doubled", 300: "omitted", 301: "altered"}
    kinds = ["omitted", "doubled", "swapped", "altered"]
    plan |= {400 + 150 * i: kinds[i % 4] for i in range(14)}
    out = []
    skip = False
    for i in range(len(rows)):
        if skip:
            skip = False
            continue
        row, kind = rows[i].copy(), plan.get(i)
        if kind == "swapped":
            out += [rows[i + 1].copy(), row]
            skip = True
            continue
        if kind == "altered":
            row["price"] += 250_000_000
        if kind != "omitted":
            out.append(row)
        if kind == "doubled":
            out.append(row.copy())
    assert len(plan) == 20
    return np.array(out, rows.dtype), [(kind, i) for i, kind in sorted(plan.items())]


def test_twenty_planted_differences_are_told_with_their_times(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    ours, plan = edited(rows)
    recorded(lake, [ours])
    code, values = told(lake, capsys)
    assert code == 1
    found = values["records"]["differences"]
    assert [(one["kind"], one["at"] + N_OPENING) for one in found] == plan
    for one, (kind, i) in zip(found, plan, strict=True):
        told_of = {name: one[name] for name in ("ts_event", "ts_recv", "sequence", "order_id")}
        assert told_of == {name: int(rows[name][i]) for name in told_of}
        price = int(rows["price"][i])
        assert one["fields"] == ({"price": [price + 250_000_000, price]} if kind == "altered" else {})
        assert one["why"] == "unexplained"
    counts = {kind: [one for one, _ in plan].count(kind) for kind in ("omitted", "doubled", "swapped", "altered")}
    assert values["records"]["counts"] == {"unexplained": counts}
    bins = values["bins"]
    assert bins["n_differing"] > 0
    assert bins["first_ns"] <= time_of(rows[N_OPENING + 2])
    assert bins["columns"]["bin_event_count"] > 0
    assert main(["audit-recording", f"{DAY}", "--lake", str(lake.root)]) == 1
    out = capsys.readouterr().out
    assert "20 unexplained" in out
    assert "bins: " in out


def test_one_altered_size_differs_in_its_bins_and_not_before(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    ours = rows.copy()
    ours["size"][2012] += 1
    recorded(lake, [ours])
    code, values = told(lake, capsys)
    assert code == 1
    width = load_instrument().cell_width_ms * 1_000_000
    at = time_of(rows[2012])
    assert values["bins"]["first_ns"] == at // width * width
    assert "bin_event_count" not in values["bins"]["columns"]
    assert values["bins"]["n_only_ours"] == values["bins"]["n_only_official"] == 0


# Holes.


def hole_of(rows: Rows, first: int, last: int) -> Hole:
    """From the last record before to the last one that is missing."""
    return Hole(time_of(rows[first - 1]), time_of(rows[last]), "the line was cut")


def snapshot(rows: Rows, at: int) -> Rows:
    front = rows[:N_OPENING].copy()
    front["ts_recv"] = rows["ts_recv"][at]
    return front


def test_what_is_missing_in_a_named_hole_is_explained(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    recorded(lake, [rows[:1001], hole_of(rows, 1001, 1500), snapshot(rows, 1501), rows[1501:]])
    code, values = told(lake, capsys)
    assert (code, values["records"]["differences"]) == (0, [])
    assert values["records"]["counts"] == {"hole: the line was cut": {"omitted": 500}}
    (hole,) = values["records"]["holes"]
    assert (hole["n_omitted"], hole["first_ns"], hole["last_ns"]) == (500, time_of(rows[1001]), time_of(rows[1500]))
    assert values["bins"]["n_differing"] > 0
    assert values["n_ours"] == len(rows) - 500  # the snapshot behind a hole is not the feed's


@pytest.mark.parametrize(("since", "until", "n_open"), [(0, 0, 0), (1, 0, 1), (0, -1, 1), (1, -1, 2)])
def test_a_hole_explains_up_to_its_bounds_and_no_further(
    lake: Lake, capsys: Capture, since: int, until: int, n_open: int
) -> None:
    """Missing are 1002 to 1010, alone at its times each, the hole goes from the first one's to the last one's time."""
    rows = day_rows()
    rows["ts_event"][N_OPENING:] += (np.arange(len(rows) - N_OPENING) % 2).astype(np.uint64) * np.uint64(1000)
    official(lake, rows)
    hole = Hole(time_of(rows[1002]) + since, time_of(rows[1010]) + until, "named")
    recorded(lake, [rows[:1002], hole, snapshot(rows, 1011), rows[1011:]])
    code, values = told(lake, capsys)
    assert code == (1 if n_open else 0)
    expected = [1002] * since + [1010] * -until
    assert [one["at"] + N_OPENING for one in values["records"]["differences"]] == expected
    assert values["records"]["counts"]["hole: named"] == {"omitted": 9 - n_open}


@pytest.mark.parametrize("kind", ["doubled", "altered"])
def test_a_hole_explains_nothing_but_what_is_missing(lake: Lake, capsys: Capture, kind: str) -> None:
    rows = day_rows()
    official(lake, rows)
    hole = Hole(time_of(rows[999]), time_of(rows[1020]), "named")  # wider than what is missing
    ours = rows.copy()
    if kind == "altered":
        ours["size"][1015] += 1
    twice = [ours[1015:1016]] if kind == "doubled" else []
    recorded(lake, [rows[:1001], hole, snapshot(rows, 1011), ours[1011:1016], *twice, ours[1016:]])
    code, values = told(lake, capsys)
    assert code == 1
    assert [(one["kind"], one["at"] + N_OPENING) for one in values["records"]["differences"]] == [(kind, 1015)]


def test_edges_of_segments_are_no_edges_of_the_day(lake: Lake) -> None:
    rows = day_rows()
    folder = lake.root / "parts"
    folder.mkdir(parents=True)
    cuts = [0, 1000, 1001, 2000, len(rows)]
    theirs = official(lake, rows)
    lost = [rows[:999], rows[1000:1001], rows[1001:2000], np.concatenate([rows[2000:2001], rows[2000:]])]
    parts = [Part(write_dbn(folder / f"{i}.dbn", rows[cuts[i] : cuts[i + 1]])) for i in range(4)]
    assert audit(parts, [], [theirs], load_instrument(), DAY).records.n == 0
    parts = [Part(write_dbn(folder / f"{i}.dbn", piece)) for i, piece in enumerate(lost)]
    found = audit(parts, [], [theirs], load_instrument(), DAY).records
    assert [(one.kind, one.at + N_OPENING) for one in found.listed] == [("omitted", 999), ("doubled", 2000)]


def test_a_record_far_from_its_place_is_one_that_moved(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    recorded(lake, [np.concatenate([rows[:500], rows[501:2500], rows[500:501], rows[2500:]])])
    _, values = told(lake, capsys)
    assert [(one["kind"], one["at"] + N_OPENING) for one in values["records"]["differences"]] == [("swapped", 500)]
    assert values["records"]["counts"] == {"unexplained": {"swapped": 1}}


# The snapshots that both begin with.


def test_snapshots_of_one_book_at_two_times_are_alike(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    ours = rows.copy()
    ours["ts_recv"][:N_OPENING] += 7
    ours["sequence"][:N_OPENING] = 0
    ours[1:N_OPENING] = ours[[*range(2, N_OPENING, 2), *range(1, N_OPENING, 2)]]  # asks first
    recorded(lake, [ours])
    code, values = told(lake, capsys)
    assert (code, values["opening"]["counts"], values["records"]["counts"]) == (0, {}, {})


def test_an_order_that_rests_otherwise_is_told(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    official(lake, rows)
    ours = rows.copy()
    ours["size"][3] += 1
    recorded(lake, [ours])
    code, values = told(lake, capsys)
    assert code == 1
    (one,) = values["opening"]["differences"]
    size = int(rows["size"][3])
    assert (one["kind"], one["order_id"], one["fields"]) == ("altered", int(rows["order_id"][3]), {"size": [size + 1, size]})


# What the vendor changed.


def test_a_correction_is_known_by_the_earlier_delivery(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    corrected = np.delete(rows, 800)
    corrected["size"][1500] += 2
    ours = np.delete(rows, 2000)
    new = official(lake, corrected)
    old = official(lake, rows, "earlier.dbn.zst")
    recorded(lake, [ours])
    code, values = told(lake, capsys, "--before", old)
    assert code == 1
    found = [(one["kind"], one["order_id"], one["why"]) for one in values["records"]["differences"]]
    assert found == [
        ("added", int(rows["order_id"][800]), "vendor's correction"),
        ("altered", int(rows["order_id"][1501]), "vendor's correction"),
        ("omitted", int(rows["order_id"][2000]), "unexplained"),
    ]
    (noted,) = corrections(lake)
    kept = values["report"]
    files = json.loads(Path(kept).read_text())["files"]
    assert (noted.old, noted.new) == (files["before"][0]["sha256"], files["official"][0]["sha256"])
    assert (noted.symbol, noted.day) == (SYMBOL, "2026-02-06")
    told(lake, capsys, "--before", old)
    assert corrections(lake) == [noted]
    told(lake, capsys, "--before", new)  # nothing was corrected
    assert corrections(lake) == [noted]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"flags": 4}, "vendor's correction"),
        ({"flags": 8, "ts_recv": 1}, "vendor's correction"),
        ({"flags": 8, "size": 1}, "unexplained"),
        ({"flags": 64}, "unexplained"),
        ({"flags": 4 | 64}, "unexplained"),
        ({"ts_recv": 1}, "unexplained"),
    ],
)
def test_what_the_vendor_marks_as_doubtful_is_its_correction(
    changes: dict[str, int], why: str, lake: Lake, capsys: Capture
) -> None:
    rows = day_rows()
    theirs = rows.copy()
    for name, bits in changes.items():
        theirs[name][1000] ^= bits
    official(lake, theirs)
    recorded(lake, [rows])
    code, values = told(lake, capsys)
    assert [one["why"] for one in values["records"]["differences"]] == [why]
    assert code == (why == "unexplained")


def test_our_own_mark_is_no_correction(lake: Lake, capsys: Capture) -> None:
    rows = day_rows()
    ours = rows.copy()
    ours["flags"][1000] |= 4
    official(lake, rows)
    recorded(lake, [ours])
    assert told(lake, capsys)[0] == 1


# What cannot be audited.


def test_without_a_recording_or_a_file_one_line_says_what_to_do(lake: Lake, capsys: Capture) -> None:
    arguments = ["audit-recording", f"{DAY}", "--lake", str(lake.root)]
    assert main(arguments) == 2
    assert "holds no recording" in capsys.readouterr().err
    recorded(lake, [day_rows(50)])
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "engine download --symbols MNQH6 --start 2026-02-06 --end 2026-02-07" in err


def test_a_broken_official_file_is_no_day_without_its_end(lake: Lake, capsys: Capture) -> None:
    rows = day_rows(500)
    path = official(lake, rows, "mnqh6-glbx-mdp3-20260206.mbo.dbn")
    path.write_bytes(path.read_bytes()[:-30])
    recorded(lake, [rows])
    assert main(["audit-recording", f"{DAY}", "--lake", str(lake.root)]) == 2
    assert "cannot be compared" in capsys.readouterr().err


def test_the_recorders_own_snapshot_is_not_the_feeds(lake: Lake) -> None:
    rows = day_rows(300)
    theirs = official(lake, rows)
    recorded(lake, [rows])
    (part,), holes = recorded_parts(lake, SYMBOL, DAY)
    folder = part.path.parent
    again = write_dbn(folder / "9999.dbn", np.concatenate([snapshot(rows, 200), rows[200:]]))
    front = write_dbn(folder / "9998.dbn", rows[:200])
    found = audit([Part(front), Part(again, n_made=N_OPENING)], holes, [theirs], load_instrument(), DAY)
    assert found.records.n == 0
    assert found.bins is not None  # the books may differ: looked at
