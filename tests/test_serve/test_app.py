"""The plain HTTP routes, over a real socket."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.champion import move_pointer, version_path
from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.client import health_lines
from serve.settings import STREAM_PATH, ServeSettings
from tests.conftest import REPO_ROOT
from tests.test_serve.asking import Client
from tests.test_serve.conftest import Promote
from tests.test_serve.server import serving


@pytest.fixture
def client(lake: Lake, config: InstrumentConfig, tmp_path: Path) -> Iterator[Client]:
    with serving(ServeSettings(lake=lake, page_dir=tmp_path / "dist"), config) as running:
        yield Client(running)


def test_health_is_ok_with_its_figures(client: Client) -> None:
    response = client.get("/health")
    body = response.json()
    assert response.status_code == 200
    assert (body["status"], body["service"], body["instrument"]) == ("ok", "vacuum-pressure", "future_mbo:MNQH6")
    assert body["champion"] is None
    assert body["alarms"] == []
    assert {"sessions", "clients", "lag_ms", "lag_p99_ms", "bins_served", "swaps"} <= body.keys()


def test_health_is_503_with_the_reason_when_there_is_nothing_to_play(client: Client, lake: Lake) -> None:
    shutil.rmtree(lake.raw_dir("MNQ"))
    response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["reason"].startswith("the lake holds no *<YYYYMMDD>*.dbn[.zst] file")  # and no word of where that is


def test_health_is_503_when_nobody_watches_the_champion(client: Client) -> None:
    client.running.service.watcher.stop()
    response = client.get("/health")
    assert response.status_code == 503
    assert "not being watched" in response.json()["reason"]


def test_champion_says_what_is_served_and_the_history(client: Client, lake: Lake, promote: Promote) -> None:
    assert client.get("/v1/model/champion").json()["champion"] is None
    for weight in (0.5, 0.75):
        promote(lake, {"d2_weight": weight})
    client.running.service.watcher.poll()
    body = client.get("/v1/model/champion").json()
    assert body["champion"]["version"] == 2
    assert body["model"]["parameters"]["d2_weight"] == 0.75
    assert [champion["version"] for champion in body["history"]] == [1, 2]
    assert client.get("/health").json()["champion"]["version"] == 2


def test_a_forced_champion_says_so_wherever_it_serves(client: Client, lake: Lake, promote: Promote) -> None:
    promote(lake)
    client.running.service.watcher.poll()
    shown = client.get("/health").json()["champion"]
    assert (shown["standing"], shown["because"], shown["failed"]) == ("not_proven", None, [])
    promote(lake, gate={"failed": ["too few trades (3)", "loose rules (no fee)"], "because": "we try it"})
    client.running.service.watcher.poll()
    health = client.get("/health").json()
    assert (health["champion"]["standing"], health["champion"]["because"]) == ("forced", "we try it")
    assert health["champion"]["failed"] == ["too few trades (3)", "loose rules (no fee)"]
    assert (health["model"]["standing"], health["model"]["because"]) == ("forced", "we try it")
    assert "forced          past the gate because we try it; it fails too few trades (3), loose rules (no fee)" in health_lines(
        health
    )
    told = client.get("/v1/model/champion").json()
    assert (told["champion"]["standing"], told["champion"]["gate"]["because"]) == ("forced", "we try it")
    assert [one["standing"] for one in told["history"]] == ["not_proven", "forced"]
    promote(lake, gate={})
    client.running.service.watcher.poll()
    assert client.get("/health").json()["model"]["standing"] == "proven"
    move_pointer(lake, None)
    client.running.service.watcher.poll()
    own = client.get("/health").json()["model"]
    assert (own["standing"], own["because"]) == ("instrument", None)


def test_without_a_built_page_a_small_one_says_how_to_build_it(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert "not built yet" in response.text
    assert client.get("/nothing.js").status_code == 404


def test_a_page_built_later_is_served_without_a_restart(client: Client, tmp_path: Path) -> None:
    client.get("/")
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "vacuum-pressure.html").write_text("<title>field</title>")
    (dist / "assets" / "app.js").write_text("1")
    (tmp_path / "secret").write_text("no")
    assert client.get("/").text == "<title>field</title>"
    script = client.get("/assets/app.js")
    assert (script.text, script.content_type) == ("1", "text/javascript")
    for path in ("/missing.js", "/../secret", "/%2e%2e/secret", "/assets/../../secret"):
        assert client.get(path).status_code == 404, path


TOKEN = "correct-horse-battery"
GIVEN = {
    "missing": ("", {}),
    "wrong": ("", {"Authorization": f"Bearer {TOKEN}x"}),
    "wrong in the query": (f"?token={TOKEN[:-1]}", {}),
    "wrong before right": (f"?token={TOKEN}", {"Authorization": "Bearer wrong"}),
    "right": ("", {"Authorization": f"Bearer {TOKEN}"}),
    "right in the query": (f"?token={TOKEN}", {}),
}


def test_a_token_guards_each_route_but_not_the_balancers_look_nor_the_page(
    lake: Lake, config: InstrumentConfig, tmp_path: Path, promote: Promote
) -> None:
    champion = promote(lake)
    (tmp_path / "index.html").write_text("<title>page</title>")
    settings = ServeSettings(lake=lake, page_dir=tmp_path, token=TOKEN)
    with serving(settings, config) as running:
        client = Client(running)
        for given, (query, headers) in GIVEN.items():
            is_right = given.startswith("right")
            told = client.get(f"/v1/model/champion{query}", headers=headers)
            assert told.status_code == (200 if is_right else 401), given
            assert (champion.run_id in told.text) == is_right, given
            health = client.get(f"/health{query}", headers=headers)
            assert health.status_code == 200
            assert ("champion" in health.json()) == is_right, given
            if not is_right:
                assert health.json() == {"status": "ok", "service": "vacuum-pressure"}
            assert client.get(f"/{query}", headers=headers).text == "<title>page</title>"  # it asks for the token
        shutil.rmtree(lake.raw_dir("MNQ"))
        assert client.get("/health").json() == {"status": "error", "service": "vacuum-pressure"}
        assert client.get("/health").status_code == 503


def test_a_history_that_is_damaged_is_said_and_not_served(client: Client, lake: Lake, promote: Promote) -> None:
    promote(lake)
    path = version_path(lake, promote(lake).version)
    path.chmod(0o644)
    path.write_text("signal: [")
    answer = client.get("/v1/model/champion")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith(f"{path.name} is not valid YAML at line 1, column 10")
    assert client.get("/health").status_code == 200


def test_the_start_page_is_the_first_there_is(client: Client, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "other.html").write_text("other")
    assert "not built yet" in client.get("/").text
    (dist / "vacuum-pressure.html").write_text("second")
    assert client.get("/").text == "second"
    (dist / "index.html").write_text("first")
    assert client.get("/").text == "first"
    assert client.get("/vacuum-pressure.html").text == "second"


def test_files_of_the_page_are_packed_known_and_kept(client: Client, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<title>page</title>" + " " * 2000)
    script = "export const x = 1;\n" * 200
    (dist / "assets" / "index-B4x_9zQ1.js").write_text(script)
    (dist / "assets" / "plain.js").write_text(script)
    (dist / "assets" / "noise-0123456789.bin").write_bytes(bytes(range(256)) * 8)
    expected = {
        "/": ("no-cache", "text/html; charset=utf-8"),
        "/index.html": ("no-cache", "text/html; charset=utf-8"),
        "/assets/index-B4x_9zQ1.js": ("public, max-age=31536000, immutable", "text/javascript; charset=utf-8"),
        "/assets/plain.js": ("no-cache", "text/javascript; charset=utf-8"),
        "/assets/noise-0123456789.bin": ("public, max-age=31536000, immutable", "application/octet-stream"),
    }
    for path, (cache, kind) in expected.items():
        answer = client.get(path, {"accept-encoding": "gzip, br"})
        assert (answer.headers["cache-control"], answer.headers["content-type"]) == (cache, kind)
        assert ("content-encoding" in answer.headers) is (not path.endswith(".bin"))
        bare = client.get(path)
        assert "content-encoding" not in bare.headers
        assert bare.data == answer.unpacked
        assert bare.headers["etag"] == answer.headers["etag"]
        known = client.get(path, {"if-none-match": bare.headers["etag"]})
        assert (known.status_code, known.data, known.headers["cache-control"]) == (304, b"", cache)
        head = client.get(path, method="HEAD")
        assert (head.status_code, head.data, head.headers["content-length"]) == (200, b"", str(len(bare.data)))
    before = client.get("/assets/plain.js").headers["etag"]
    (dist / "assets" / "plain.js").write_text(script + "// more")
    assert client.get("/assets/plain.js").headers["etag"] != before


def test_the_pages_policy_lets_no_script_run_that_stands_in_a_page(client: Client, tmp_path: Path) -> None:
    for path in ("/", "/health", "/nothing", "/v1/model/champion"):
        policy = dict(part.split(" ", 1) for part in client.get(path).headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
        assert policy["frame-ancestors"] == "'none'"
    page = (REPO_ROOT / "frontend" / "vacuum-pressure.html").read_text()
    assert " style=" not in page + client.get("/").text  # nor a style
    assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=", page + client.get("/").text)


def test_what_is_not_there_and_what_is_not_answered_is_json(client: Client, tmp_path: Path) -> None:
    gone = client.get("/nothing.js")
    assert (gone.status_code, gone.content_type, gone.json()) == (
        404,
        "application/json",
        {"error": "there is nothing of that name"},
    )
    posted = client.get("/health", method="POST")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    assert posted.json() == {"error": "POST is not answered here; ask with GET"}
    plain = client.get(STREAM_PATH)
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")
