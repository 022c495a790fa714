"""The gateway's historical API, spoken to by the vendor's own client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databento as db
import numpy as np
import pytest
import requests
from databento.common.error import BentoClientError, BentoError, BentoServerError

from tests.feed import DATASET, FIRST, H6, IDS, KEY, M6, SECOND, SPREAD, Running, rows_of, running, two_days

DAYS = {"dataset": DATASET, "schema": "mbo", "start": "2026-02-05", "end": "2026-02-07"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    with running(two_days(folder), folder / "work", usd_per_gb=2.0) as one:
        yield one


@pytest.fixture
def gateway(shared: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shared.ready.certificate))
    yield shared
    shared.gateway.faults.clear()


def test_it_listens_on_loopback_only(gateway: Running) -> None:
    assert gateway.ready.https_url.startswith("https://127.0.0.1:")
    assert gateway.ready.live_host == "127.0.0.1"


def test_what_there_is(gateway: Running) -> None:
    metadata = gateway.historical().metadata
    assert metadata.list_datasets() == [DATASET]
    assert metadata.list_schemas(DATASET) == ["mbo"]
    assert [one["publisher_id"] for one in metadata.list_publishers()] == [1]
    assert {"name": "order_id", "type": "uint64_t"} in metadata.list_fields("mbo", "dbn")
    assert {one["mode"]: one["unit_prices"]["mbo"] for one in metadata.list_unit_prices(DATASET)}["historical"] == 2.0
    span = metadata.get_dataset_range(DATASET)
    assert (span["start"][:10], span["end"][:10]) == ("2026-02-05", "2026-02-07")
    assert [one["date"] for one in metadata.get_dataset_condition(DATASET)] == ["2026-02-05", "2026-02-06"]
    assert [one["date"] for one in metadata.get_dataset_condition(DATASET, "2026-02-06")] == ["2026-02-06"]


@pytest.mark.parametrize(
    ("symbols", "stype_in", "n"),
    [
        ("MNQH6", "raw_symbol", 1200),
        (["MNQH6", "MNQM6"], "raw_symbol", 1800),
        (str(SPREAD), "instrument_id", 60),
        ("MNQ.FUT", "parent", 1860),
        ("MNQ.c.0", "continuous", 1200),
        ("MNQ.c.1", "continuous", 600),
        ("MNQ.v.0", "continuous", 1200),
    ],
)
def test_counts_sizes_and_costs(symbols: Any, stype_in: str, n: int, gateway: Running) -> None:
    metadata = gateway.historical().metadata
    asked = {**DAYS, "symbols": symbols, "stype_in": stype_in}
    assert metadata.get_record_count(**asked) == n
    assert metadata.get_billable_size(**asked) == 56 * n
    assert metadata.get_cost(**asked) == pytest.approx(56 * n * 2.0 / 2**30, rel=1e-12)


def test_span_is_of_capture_times_its_end_excluded(gateway: Running) -> None:
    """The second record of the day is captured 10.1 ms after 14:00; a span up to that instant does not hold it."""
    at = int(rows_of(FIRST)["ts_recv"][1])
    asked = {**DAYS, "symbols": "MNQ.FUT", "stype_in": "parent", "start": at - 10_000_000}
    count = gateway.historical().metadata.get_record_count
    assert count(**{**asked, "end": at}) == 1
    assert count(**{**asked, "end": at + 1}) == 2


def test_symbols_are_resolved_both_ways(gateway: Running) -> None:
    resolve = gateway.historical().symbology.resolve
    span = [{"d0": "2026-02-05", "d1": "2026-02-07"}]
    found = resolve(DATASET, "MNQ.FUT", "parent", "instrument_id", FIRST, "2026-02-07")
    assert found["result"] == {name: [{**span[0], "s": str(number)}] for name, number in IDS.items()}
    back = resolve(DATASET, str(M6), "instrument_id", "raw_symbol", FIRST, "2026-02-07")
    assert back["result"] == {str(M6): [{**span[0], "s": "MNQM6"}]}
    none = resolve(DATASET, ["MNQH6", "ESH6"], "raw_symbol", "instrument_id", FIRST, "2026-02-08")
    assert (none["not_found"], none["partial"], none["status"]) == (["ESH6"], ["MNQH6"], 2)


def test_streamed_records_are_the_files(gateway: Running, tmp_path: Path) -> None:
    path = tmp_path / "streamed.dbn.zst"
    gateway.historical().timeseries.get_range(**DAYS, symbols="MNQH6", path=path).reader.close()
    store = db.DBNStore.from_bytes(path.read_bytes())
    expected = np.concatenate([rows[rows["instrument_id"] == H6] for rows in (rows_of(FIRST), rows_of(SECOND))])
    assert store.to_ndarray().tobytes() == expected.tobytes()
    assert store.metadata.symbols == ["MNQH6"]
    assert [one["symbol"] for one in store.metadata.mappings["MNQH6"]] == [str(H6)]
    limited = gateway.historical().timeseries.get_range(**DAYS, symbols="MNQH6", limit=7)
    assert limited.to_ndarray().tobytes() == expected[:7].tobytes()


def test_a_job_is_done_after_its_polls_and_its_files_are_what_its_manifest_says(gateway: Running, tmp_path: Path) -> None:
    batch = gateway.historical().batch
    gateway.fault("work@batch.submit_job:polls=1")
    job = batch.submit_job(**DAYS, symbols="MNQH6")
    assert job["state"] == "queued"
    assert batch.list_files(job["id"]) == []
    states = [{one["id"]: one["state"] for one in batch.list_jobs()}[job["id"]] for _ in range(3)]
    assert states == ["processing", "processing", "done"]
    listed = batch.list_files(job["id"])
    assert [one["filename"] for one in listed] == [
        "glbx-mdp3-20260205.mbo.dbn.zst", "glbx-mdp3-20260206.mbo.dbn.zst", "metadata.json", "symbology.json", "condition.json",
        "manifest.json",
    ]  # fmt: skip
    whole = batch.download(job["id"], tmp_path)  # warns, hence fails, on a wrong hash
    assert len(whole) == 6
    one = batch.download(job["id"], tmp_path / "one", filename_to_download=listed[1]["filename"])
    rows = rows_of(SECOND)
    assert db.DBNStore.from_bytes(one[0].read_bytes()).to_ndarray().tobytes() == rows[rows["instrument_id"] == H6].tobytes()
    manifest = json.loads((tmp_path / job["id"] / "manifest.json").read_text())
    assert [one["hash"] for one in manifest["files"]] == [one["hash"] for one in listed[:-1]]


def test_parts_of_a_file_by_range(gateway: Running) -> None:
    batch = gateway.historical().batch
    job = batch.submit_job(**DAYS, symbols="MNQM6")
    while batch.get_job_details(job["id"])["state"] != "done":
        pass
    url, size = (batch.list_files(job["id"])[0][key] for key in ("urls", "size"))
    whole = requests.get(url["https"], auth=(KEY, ""), timeout=10).content
    assert len(whole) == size
    part = requests.get(url["https"], auth=(KEY, ""), headers={"Range": "bytes=10-19"}, timeout=10)
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, whole[10:20], f"bytes 10-19/{size}")
    rest = requests.get(url["https"], auth=(KEY, ""), headers={"Range": f"bytes={size - 1}-"}, timeout=10)
    assert rest.content == whole[-1:]
    behind = requests.get(url["https"], auth=(KEY, ""), headers={"Range": f"bytes={size}-"}, timeout=10)
    assert behind.status_code == 416


@pytest.mark.parametrize("code", [402, 403, 404, 422, 429])
def test_refusals_are_the_clients_errors(code: int, gateway: Running) -> None:
    fault = gateway.fault(f"status@metadata.get_cost:code={code},retry_after=3")
    with pytest.raises(BentoClientError) as error:
        gateway.historical().metadata.get_cost(**DAYS, symbols="MNQH6")
    assert error.value.http_status == code
    assert {name.lower(): value for name, value in error.value.headers.items()}["retry-after"] == "3"
    assert fault.hit.is_set()
    assert gateway.historical().metadata.get_cost(**DAYS, symbols="MNQH6") > 0  # it was to happen once


def test_a_failing_gateway_and_a_wrong_key(gateway: Running) -> None:
    gateway.fault("status@metadata.list_datasets:code=503")
    with pytest.raises(BentoServerError):
        gateway.historical().metadata.list_datasets()
    with pytest.raises(BentoClientError, match="401"):
        gateway.historical("db-another").metadata.list_datasets()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"dataset": "XNAS.ITCH"}, "this gateway has GLBX.MDP3"),
        ({"schema": "trades"}, "mbo only"),
        ({"symbols": "ESH6"}, "could be resolved"),
        ({"start": "2026-02-07", "end": "2026-02-08"}, "data end at 2026-02-07"),
        ({"end": "2026-02-08"}, "data end at 2026-02-07"),
        ({"end": "2026-02-05"}, "not before end"),
        ({"start": "yesterday"}, "give ISO 8601"),
    ],
)
def test_what_cannot_be_asked_is_422(changed: dict[str, str], told: str, gateway: Running) -> None:
    with pytest.raises(BentoClientError, match=told) as error:
        gateway.historical().metadata.get_cost(**{**DAYS, "symbols": "MNQH6", **changed})
    assert error.value.http_status == 422


@pytest.mark.parametrize("fault", ["cut@timeseries.get_range:after=2000", "stall@timeseries.get_range:after=2000"])
def test_a_broken_stream_is_the_clients_error(fault: str, gateway: Running) -> None:
    ordered = gateway.fault(fault)
    client = gateway.historical()
    client.timeseries.TIMEOUT = 0.3
    with pytest.raises(BentoError, match="streaming"):
        client.timeseries.get_range(**DAYS, symbols="MNQH6")
    assert ordered.hit.is_set()


def test_garbage_changes_sixteen_bytes_and_an_end_comes_too_early(gateway: Running, tmp_path: Path) -> None:
    batch = gateway.historical().batch
    job = batch.submit_job(**DAYS, symbols="MNQM6")
    while batch.get_job_details(job["id"])["state"] != "done":
        pass
    url = batch.list_files(job["id"])[0]["urls"]["https"]
    whole = requests.get(url, auth=(KEY, ""), timeout=10).content
    gateway.fault("garbage@batch.download:after=100")
    bad = requests.get(url, auth=(KEY, ""), timeout=10).content
    assert [i for i in range(len(whole)) if whole[i] != bad[i]] == list(range(100, 116))
    gateway.fault("end@batch.download:after=100")
    assert requests.get(url, auth=(KEY, ""), timeout=10).content == whole[:100]


def test_faults_are_ordered_while_it_runs(gateway: Running) -> None:
    url = f"{gateway.ready.https_url}/gateway/faults"
    assert requests.post(url, data="status@metadata.list_datasets:code=500", auth=(KEY, ""), timeout=10).status_code == 200
    with pytest.raises(BentoServerError):
        gateway.historical().metadata.list_datasets()
    assert requests.post(url, data="status@metadata.list_datasets:times=0", auth=(KEY, ""), timeout=10).status_code == 200
    assert requests.delete(url, auth=(KEY, ""), timeout=10).status_code == 200
    assert gateway.historical().metadata.list_datasets() == [DATASET]
    assert requests.post(url, data="nonsense", auth=(KEY, ""), timeout=10).status_code == 422
    assert requests.post(url, data="", auth=("x", ""), timeout=10).status_code == 401
