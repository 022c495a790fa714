"""Where a service is, and how it is doing: ``python -m serve status``."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from engine.errors import WorkError
from serve.settings import STREAM_PATH, is_loopback

_HTTP_TIMEOUT_S: Final = 5.0


class ServiceError(WorkError):
    """The service cannot be reached, or refused."""


def stream_url(base: str, query: Sequence[tuple[str, str]]) -> str:
    """Address of the stream of a service.

    Parameters
    ----------
    base : str
        ``http(s)://host:port`` or a whole ``ws(s)://`` address, which then stands as it is, query added.
    query : sequence of (name, value)
        What the stream is asked for.
    """
    parts = urlsplit(base)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path if parts.path not in ("", "/") else STREAM_PATH
    asked = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return f"{scheme}://{parts.netloc}{path}" + (f"?{asked}" if asked else "")


def fetch_health(base: str, token: str | None) -> dict[str, Any]:
    """The body of ``/health``, also when the service is not well.

    Raises
    ------
    ServiceError
        Nothing of ours answers there.
    """
    request = urllib.request.Request(f"{base.rstrip('/')}/health")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with _opener(base).open(request, timeout=_HTTP_TIMEOUT_S) as response:
            data = response.read()
    except urllib.error.HTTPError as error:
        with error:
            data = error.read()
    except (OSError, ValueError) as error:
        raise ServiceError(f"{base} cannot be reached: {error}; is python -m serve running?") from error
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "status" not in body:
        raise ServiceError(f"{base}/health does not answer like this service")
    return body


def _opener(base: str) -> urllib.request.OpenerDirector:
    """No proxy of the environment stands between us and this machine."""
    if is_loopback(urlsplit(base).hostname or ""):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


def health_lines(body: dict[str, Any]) -> list[str]:
    """``/health`` for a terminal."""
    champion, all_of_them = body.get("champion"), body.get("deployments")
    names = ("instrument", "config_version", "sessions", "clients", "lag_ms", "lag_p99_ms", "bins_served", "bins_dropped")
    lines = [f"{'status':<15} {body['status']}" + (f": {body['reason']}" if body.get("reason") else "")]
    lines += [f"{name:<15} {'-' if body[name] is None else body[name]}" for name in names if name in body]
    if all_of_them:  # the figures above are of the replica that answered
        replicas = ", ".join(f"{n} {state.lower()}" for state, n in all_of_them["replicas"].items())
        lines.insert(1, f"{'deployments':<15} {all_of_them['status'].lower()}, replicas: {replicas}")
        lines.insert(2, f"{'of all replicas':<15} {all_of_them['clients']} clients, {all_of_them['sessions']} sessions")
    lines += [_session_line(one) for one in body.get("pace", ())]
    if "memory_bytes" in body:
        lines.append(f"{'memory':<15} {body['memory_bytes'] >> 20} MB, of it {body['ring_bytes'] >> 20} MB of frames kept")
    lines.append(
        f"{'champion':<15} "
        + (f"v{champion['version']} {champion['signal']} run {champion['run_id']}" if champion else "none promoted yet")
    )
    if champion and champion.get("standing") == "forced":
        failed = ", ".join(champion["failed"])
        lines.append(f"{'forced':<15} past the gate because {champion['because']}; it fails {failed}")
    if champion and champion.get("record"):
        lines.append(f"{'live record':<15} {champion['record']['line']}")
    lines += [f"{'alarm':<15} {alarm['message']} (since {alarm['since']})" for alarm in body.get("alarms", [])]
    return lines


def _session_line(told: dict[str, Any]) -> str:
    """One session's clients and pace."""
    kind = "shared" if told["shared"] else "private"
    pace = "no pace" if told.get("lag_p99_ms") is None else f"lag p99 {told['lag_p99_ms']} ms, jitter {told['jitter_ms']} ms"
    return f"{'session ' + str(told['session']):<15} {kind}, {told['clients']} clients, next bin {told.get('next_bin')}, {pace}"
