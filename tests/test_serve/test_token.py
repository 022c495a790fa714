"""A token guards the service, and stands nowhere that others read."""

import json
import os
import re
import signal
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from engine.lake import Lake
from serve.client import fetch_health
from tests.test_serve.server import listen
from tests.test_serve.started import END_S, Started, marked_processes, starting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TOKEN = "correct-horse-battery-staple"
EXPORT_S = 60.0
PATHS = ("/health", "/v1/model/champion", "/v1/sessions", "/v1/experiments/runs", "/", "/no-such-path")


def answer(url: str, token: str | None = None) -> tuple[int, str]:
    """Status, and all that is said: headers and body."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(url, headers=headers), timeout=30.0) as given:
            return given.status, f"{given.headers} {given.read().decode()}"
    except HTTPError as refusal:
        return refusal.code, f"{refusal.headers} {refusal.read().decode()}"


def arguments_of(pid: int) -> str:
    """What a process list shows of a process; nothing of one that has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


def texts_under(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, by its path: logs, states, whatever was written."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def awaited(urls: list[str], wanted: str) -> str:
    """What addresses of Ray say, once they listen and tell of what is wanted: there is no event to await, only asking."""
    deadline = time.monotonic() + EXPORT_S
    while True:
        try:
            said = [answer(url) for url in urls]
        except URLError:
            assert time.monotonic() < deadline
            continue
        text = " ".join(one for _, one in said)
        if all(status == 200 for status, _ in said) and wanted in text:
            return text
        assert time.monotonic() < deadline, text


def metrics_of(service: Started) -> str:
    """What the cluster's node tells Prometheus."""
    found = next(service.ray_folder.rglob("prom_metrics_service_discovery.json"))
    targets = [target for group in json.loads(found.read_text()) for target in group["targets"]]
    return awaited([f"http://{target}/metrics" for target in targets], "ray_spymaster_")


def dashboard_of(service: Started) -> str:
    """What Ray's dashboard tells of the applications, the actors and the jobs."""
    line = next(line for line in service.lines if line.startswith("Ray dashboard"))
    base = re.findall(r"http://[^ /]+", line)[0]
    wanted = {"/api/serve/applications/": "vacuum-pressure", "/logical/actors": "SERVE_REPLICA", "/api/jobs/": ""}
    return "".join(awaited([base + path], word) for path, word in wanted.items())


def test_a_token_stands_in_no_answer_metric_log_link_file_or_process_list(lake: Lake) -> None:
    with starting(lake, SPYMASTER_TOKEN=TOKEN) as service:
        assert [answer(service.base + path)[0] for path in ("/v1/model/champion", "/v1/sessions")] == [401, 401]
        answers = [answer(service.base + path, TOKEN) for path in PATHS]
        assert [status for status, _ in answers][:4] == [200, 200, 200, 200]
        assert answer(f"{service.base}/v1/sessions?token={TOKEN}")[0] == 200
        assert answer(f"{service.base}/v1/sessions?token={TOKEN}x")[0] == 401
        assert fetch_health(service.base, TOKEN)["status"] == "ok"
        with service.connect(token=TOKEN) as connection:
            said = listen(connection, n_bins=5)
        with service.connect(token="wrong-horse-battery-staple") as refused:
            assert listen(refused).bins == []
            assert refused.protocol.close_code == 1008

        processes = marked_processes(service.mark)
        assert len(processes) > 5
        shown = [arguments_of(pid) for pid in processes]
        assert any("serve" in one for one in shown)
        metrics, dashboard = metrics_of(service), dashboard_of(service)
        written = texts_under(service.ray_folder) | texts_under(lake.root)
        assert any("serve" in path and path.endswith(".log") for path in written)

        os.killpg(service.process.pid, signal.SIGINT)
        assert service.process.wait(END_S) == 0
        places = {
            "answers": " ".join(text for _, text in answers),
            "frames": json.dumps([*said.texts]),
            "process list": " ".join(shown),
            "metrics": metrics,
            "dashboard": dashboard,
            "terminal": " ".join(service.lines),
        }
        assert [name for name, text in places.items() if TOKEN in text] == []
        after = written | texts_under(service.ray_folder) | texts_under(lake.root)
        assert [path for path, held in after.items() if TOKEN.encode() in held] == []
