"""Terminal clients: ``python -m serve tail`` prints a line per bin, ``python -m serve status`` how the service is doing."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from engine.constants import NS_PER_S, UNDEF_PRICE
from engine.door import reader_has_gone
from engine.errors import WorkError
from serve.settings import STREAM_PATH, is_loopback
from serve.wire_check import FrameChecker, FrameOrderError

PRICE_UNIT: Final = 1e-9  # dollars
_HTTP_TIMEOUT_S: Final = 5.0
_CLOSE_S: Final = 0.5  # frames that are on their way when we leave hide the server's goodbye
_SILENT_S: Final = 4.0  # a stream that has begun says something each second
_MAX_FRAME_BYTES: Final = 16 << 20


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


def tail(url: str, n_bins: int | None, token: str | None, out: TextIO | None = None) -> int:
    """Print a line per bin until the stream ends or ``n_bins`` are printed; how many were.

    Raises
    ------
    ServiceError
        The service cannot be reached, falls silent, or ends the stream with an error.
    FrameOrderError
        The stream broke its contract.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else None
    checker = FrameChecker()
    try:
        with connect(
            url,
            additional_headers=headers,
            max_size=_MAX_FRAME_BYTES,
            compression=None,
            close_timeout=_CLOSE_S,
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
        ) as socket:
            _follow(socket, checker, n_bins, out or sys.stdout)
    except ConnectionClosed as closed:
        raise ServiceError(f"the connection ended with code {closed.rcvd.code if closed.rcvd else 1006}") from closed
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
        raise ServiceError(f"{url.partition('?')[0]} cannot be reached: {error}; is python -m serve running?") from error
    return checker.n_bins


def _follow(socket: ClientConnection, checker: FrameChecker, n_bins: int | None, out: TextIO) -> None:
    while (n_bins is None or checker.n_bins < n_bins) and not reader_has_gone(out):
        frame = _next_frame(socket, checker)
        if isinstance(frame, bytes):
            print(_bin_line(checker.binary(frame), checker.config or {}), file=out, flush=True)
            continue
        values = json.loads(frame)
        kind = values.get("type")
        checker.text(kind, frame, values)
        if kind == "runtime_config":
            print(_config_line(values), file=out, flush=True)
        elif kind == "end":
            print(f"end of the data: {values['bins']} bins, {checker.n_dropped} skipped by the server", file=out, flush=True)
            return
        elif kind == "error":
            raise ServiceError(f"{values.get('code')}: {values.get('message')}")


def _next_frame(socket: ClientConnection, checker: FrameChecker) -> str | bytes:
    """The next frame; a stream that has begun and falls silent is frozen or cut off, and no socket tells so."""
    try:
        return socket.recv(timeout=None if checker.config is None else _SILENT_S)
    except TimeoutError as error:
        silent = f"nothing came for {_SILENT_S:g} s, the service is frozen or cut off"
        raise ServiceError(f"{silent}; go on with --resume-from {checker.next_bin}") from error


def _config_line(config: dict[str, Any]) -> str:
    signal = config["runtime_model"]
    what = f"{config['symbol']} {config['cell_width_ms']} ms, {config['grid_rows']} rows, config {config['config_version']}"
    if config.get("reason") == "model_change":
        return f"-- signal change from bin {config['effective_bin_seq']}: {_signal_name(signal)}"
    return f"-- {what}, signal {_signal_name(signal)}"


def _signal_name(signal: dict[str, Any]) -> str:
    if not signal["enabled"]:
        return "none"
    return f"{signal['name']} ({'champion v' + str(signal['version']) if signal['version'] else 'instrument'})"


def _bin_line(header: dict[str, Any], config: dict[str, Any]) -> str:
    decimals = config["price_decimals"]
    prices = (header[f"{name}_price_int"] for name in ("best_bid", "best_ask", "spot_ref"))
    bid, ask, spot = ("-" if price == UNDEF_PRICE else f"{price * PRICE_UNIT:.{decimals}f}" for price in prices)
    when = datetime.fromtimestamp(header["bin_end_ns"] // NS_PER_S, UTC).astimezone(ZoneInfo(config["session_tz"]))
    millis = header["bin_end_ns"] % NS_PER_S // 1_000_000
    version = config["runtime_model"]["version"]
    return (
        f"{header['bin_seq']:>7}  {when:%H:%M:%S}.{millis:03d}  {bid} x {ask}  spot {spot}  "
        f"n {header['bin_event_count']:>5}  score {header['runtime_model_score']:+.4f}  "
        f"{'ready' if header['runtime_model_ready'] else 'warming'}  {'champion v' + str(version) if version else '-'}"
        + (f"  skipped {header['dropped_bins']}" if header["dropped_bins"] else "")
    )


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
    champion = body.get("champion")
    names = ("instrument", "config_version", "sessions", "clients", "lag_ms", "lag_p99_ms", "bins_served", "bins_dropped")
    lines = [f"{'status':<15} {body['status']}" + (f": {body['reason']}" if body.get("reason") else "")]
    lines += [f"{name:<15} {'-' if body[name] is None else body[name]}" for name in names if name in body]
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


__all__ = ["FrameOrderError", "ServiceError", "fetch_health", "health_lines", "stream_url", "tail"]
