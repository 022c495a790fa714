"""The conformance kit: its files are what the generator makes, and the engine and the plain reference give every answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.conformance import ours, plain
from tests.conformance.answers import Observed, disagreements
from tests.conformance.generator import CASES, build, load, names

KIT = names()
LARGEST_BYTES = 4096


@pytest.mark.parametrize("name", KIT)
def test_file_is_what_the_generator_makes_of_its_tape(name: str) -> None:
    content = (CASES / f"{name}.dbn").read_bytes()
    assert content == build(load(name))
    assert len(content) <= LARGEST_BYTES


def test_kit_is_large_enough_and_every_file_belongs_to_a_case() -> None:
    assert len(KIT) >= 20
    assert sorted(path.stem for path in CASES.glob("*.dbn")) == KIT
    readme = (CASES.parent / "README.md").read_text()
    assert [name for name in KIT if f"| `{name}` | {load(name)['proves']} |" not in readme] == []


@pytest.mark.parametrize("name", KIT)
def test_engine_gives_every_answer(name: str) -> None:
    case = load(name)
    assert disagreements(case, ours.observe(case, CASES / f"{name}.dbn")) == []


@pytest.mark.parametrize("name", KIT)
def test_plain_reference_gives_every_answer(name: str) -> None:
    case = load(name)
    assert disagreements(case, plain.observe(case, CASES / f"{name}.dbn")) == []


@pytest.mark.parametrize("name", [name for name in KIT if name != "truncated_tail"])
def test_engine_gives_the_same_answers_compressed_and_in_single_records(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.dbn.zst"
    path.write_bytes(zstandard.compress((CASES / f"{name}.dbn").read_bytes()))
    case = load(name)
    assert disagreements(case, ours.observe(case, path, block_bins=1, chunk_records=1)) == []


@pytest.mark.parametrize("name", [name for name in KIT if "refused" not in load(name)])
def test_an_engine_may_leave_out_all_but_its_books(name: str) -> None:
    case = load(name)
    seen = Observed(books=ours.observe(case, CASES / f"{name}.dbn").books)
    assert disagreements(case, seen) == []
    if case.get("books"):
        assert seen.books is not None
        seen.books[-1]["bids"] = [*seen.books[-1]["bids"], [1.0, 1, 1]]
        assert len(disagreements(case, seen)) == 1


def test_an_engine_that_says_nothing_of_a_file_to_be_refused_is_wrong() -> None:
    assert disagreements(load("no_mappings_two_instruments"), Observed()) != []


def change_book(seen: Observed) -> None:
    seen.books[-1]["asks"] = [[price, size + 1, n] for price, size, n in seen.books[-1]["asks"]]


def change_mass(seen: Observed) -> None:
    seen.rows[0]["fill_mass"] *= 1 + 1e-6


def change_bin(seen: Observed) -> None:
    seen.bins[0]["quality"] = ["gap"]


def change_counts(seen: Observed) -> None:
    seen.anomalies = {}


def change_first(seen: Observed) -> None:
    seen.first = {"unknown_fill": [902, 9]}


@pytest.mark.parametrize("change", [change_book, change_mass, change_bin, change_counts, change_first])
def test_a_wrong_engine_is_found_out(change: Callable[[Observed], Any]) -> None:
    case = load("iceberg_hidden_fills")
    seen = ours.observe(case, CASES / "iceberg_hidden_fills.dbn")
    change(seen)
    assert len(disagreements(case, seen)) == 1
