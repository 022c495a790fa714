"""``python -m serve tail``: a stream as lines, one a bin; a server that is silent, or went away, is gone back to.

A server that is frozen keeps its sockets open and says nothing. It is found by what is missing: no frame and no heartbeat for
three seconds or ten cell widths, whichever is longer, as the page finds it too. The stream then goes on where it broke off.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from engine.constants import NS_PER_S, UNDEF_PRICE
from engine.door import reader_has_gone
from serve.client import ServiceError
from serve.settings import is_loopback
from serve.wire_check import FrameChecker, FrameOrderError

PRICE_UNIT: Final = 1e-9  # dollars
PATIENCE_S: Final = 60.0  # without a frame, until nobody tries any more
_LEAST_SILENCE_S: Final = 3.0
_CELLS: Final = 10
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 4.0  # between two tries
_OPEN_S: Final = 5.0
_CLOSE_S: Final = 0.5  # frames that are on their way when we leave hide the server's goodbye
_MAX_FRAME_BYTES: Final = 16 << 20
_COME_BACK: Final = frozenset({1001, 1006, 1012, 1013})  # going away, cut off, restarting, try later
_PLACES: Final = ("resume_from", "at", "backfill")  # of a query: where a stream begins


def tail(url: str, n_bins: int | None, token: str | None, out: TextIO | None = None, patience_s: float = PATIENCE_S) -> int:
    """Print a line per bin until the stream ends or ``n_bins`` are printed; how many were.

    Parameters
    ----------
    url : str
        From `serve.client.stream_url`.
    patience_s : float
        Seconds without a frame after which a stream that broke off is given up.

    Raises
    ------
    ServiceError
        The service cannot be reached, ends the stream with an error, or does not come back.
    FrameOrderError
        The stream broke its contract, across breaks too.
    """
    return _Tail(url, n_bins, token, out or sys.stdout, patience_s).run()


class _Tail:
    def __init__(self, url: str, n_bins: int | None, token: str | None, out: TextIO, patience_s: float) -> None:
        self._url, self._n_bins, self._out, self._patience_s = url, n_bins, out, patience_s
        self._headers = {"Authorization": f"Bearer {token}"} if token else None
        self._checker = FrameChecker()
        self._heard = time.monotonic()  # when anything but a refusal came last
        self._beats = False  # the server says something each second
        self._said: dict[str, Any] = {}  # the server's last error
        self._next_bin: int | None = None

    def run(self) -> int:
        wait_s, nothing_more = _FIRST_WAIT_S, threading.Event()
        while True:
            n_before = self._checker.n_bins
            try:
                with self._connect() as socket:
                    self._follow(socket)
                return self._checker.n_bins
            except (_SilentError, ConnectionClosed) as lost:
                why = self._why(lost)
            except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
                if self._next_bin is None:
                    place = self._url.partition("?")[0]
                    raise ServiceError(f"{place} cannot be reached: {error}; is python -m serve running?") from error
                why = str(error)
            if time.monotonic() - self._heard > self._patience_s:
                raise ServiceError(f"{why}, and the service did not come back within {self._patience_s:g} s")
            wait_s = _FIRST_WAIT_S if self._checker.n_bins > n_before else min(2 * wait_s, _LONGEST_WAIT_S)
            print(f"-- {why}; connecting again from bin {self._next_bin}", file=self._out, flush=True)
            nothing_more.wait(wait_s)
            self._checker.reconnected()

    def _connect(self) -> ClientConnection:
        parts = urlsplit(self._url)
        if self._next_bin is not None:
            asked = [(name, value) for name, value in parse_qsl(parts.query) if name not in _PLACES]
            parts = parts._replace(query=urlencode([*asked, ("resume_from", str(self._next_bin))]))
        return connect(
            parts.geturl(),
            additional_headers=self._headers,
            max_size=_MAX_FRAME_BYTES,
            compression=None,
            open_timeout=_OPEN_S,
            close_timeout=_CLOSE_S,
            proxy=None if is_loopback(parts.hostname or "") else True,
        )

    def _why(self, lost: Exception) -> str:
        """Why the connection was lost, where it is worth coming back.

        Raises
        ------
        ServiceError
            The server refused, or failed; or nothing was there to come back to.
        """
        if isinstance(lost, ConnectionClosed):
            code = lost.rcvd.code if lost.rcvd else 1006
            told = f"{self._said['code']}: {self._said['message']}" if self._said else f"the connection ended with code {code}"
            if code not in _COME_BACK or self._next_bin is None:
                raise ServiceError(told) from lost
            return told
        return str(lost)

    def _follow(self, socket: ClientConnection) -> None:
        checker, out = self._checker, self._out
        self._beats, self._said = False, {}
        while (self._n_bins is None or checker.n_bins < self._n_bins) and not reader_has_gone(out):
            frame = self._next_frame(socket)
            if isinstance(frame, bytes):
                header = checker.binary(frame)
                self._next_bin = header["bin_seq"] + 1
                print(_bin_line(header, checker.config or {}), file=out, flush=True)
                continue
            values = json.loads(frame)
            kind = values.get("type")
            if kind != "error":
                self._heard = time.monotonic()
            checker.text(kind, frame, values)
            if kind == "runtime_config":
                self._beats = self._beats or values["capabilities"].get("control") is True
                print(_config_line(values), file=out, flush=True)
            elif kind == "heartbeat":
                self._beats = True
            elif kind == "end":
                print(f"end of the data: {values['bins']} bins, {checker.n_dropped} skipped by the server", file=out, flush=True)
                return
            elif kind == "error":
                self._said = {"code": values.get("code"), "message": values.get("message")}

    def _next_frame(self, socket: ClientConnection) -> str | bytes:
        limit_s = self._silence_s()
        try:
            frame = socket.recv(timeout=limit_s)
        except TimeoutError:
            raise _SilentError(f"no frame and no heartbeat for {limit_s:g} s") from None
        return frame

    def _silence_s(self) -> float | None:
        """How long the server may be silent; None where nobody knows when it will say something."""
        config = self._checker.config
        if config is None or not self._beats:
            return None  # it may be on its way to the first bin
        return max(_LEAST_SILENCE_S, _CELLS * config["cell_width_ms"] / 1000.0)


class _SilentError(Exception):
    """Nothing was heard for too long."""


def _config_line(config: dict[str, Any]) -> str:
    signal = config["runtime_model"]
    what = f"{config['symbol']} {config['cell_width_ms']} ms, {config['grid_rows']} rows, config {config['config_version']}"
    if config.get("reason") == "model_change":
        return f"-- signal change from bin {config['effective_bin_seq']}: {_signal_name(signal)}"
    if config.get("reason") == "standing_change":
        return f"-- {_signal_name(signal)} is {signal['standing']}: {signal['record']}"
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


__all__ = ["FrameOrderError", "tail"]
