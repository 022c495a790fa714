"""The order of a stream's frames, checked as any client should."""

from typing import Any

from engine.errors import WorkError
from serve.frames import decode_grid, decode_header


class FrameOrderError(WorkError):
    """A stream broke its contract."""


class FrameChecker:
    """Follows one stream: ``runtime_config`` first, then each header with its grid right behind, ``bin_seq`` without a hole.

    Source: interfaces.md, "HTTP and WebSocket"; frontend.md section 10.
    """

    def __init__(self) -> None:
        self.config: dict[str, Any] | None = None
        self.n_bins = 0
        self.n_dropped = 0
        self._header: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None

    @property
    def next_bin(self) -> int:
        """Where a client goes on that connects again."""
        return 0 if self._last is None else self._last["bin_seq"] + 1

    def reconnected(self) -> None:
        """Follow the same stream over another connection: its config comes first again, its bins go on where they broke off."""
        self._header = self.config = None

    def text(self, kind: str, text: str, values: dict[str, Any]) -> None:
        """Take a text frame that was already parsed.

        Raises
        ------
        FrameOrderError
            It may not stand here.
        """
        if self._header is not None:
            raise FrameOrderError(f"a {kind} came where the grid of bin {self._header['bin_seq']} was due")
        if kind == "runtime_config":
            self.config = values
        elif kind == "grid_update":
            if self.config is None:
                raise FrameOrderError("a grid_update came before the runtime_config")
            self._header = self._checked(decode_header(text))

    def binary(self, data: bytes) -> dict[str, Any]:
        """Take a binary frame; returns the bin's header.

        Raises
        ------
        FrameOrderError
            No header came before it, or it does not fit the header.
        """
        header = self._header
        if header is None or self.config is None:
            raise FrameOrderError("a binary frame came without its header")
        try:
            grid = decode_grid(data)
        except (ValueError, OSError) as error:
            raise FrameOrderError(f"the grid of bin {header['bin_seq']} cannot be read: {error}") from error
        rows, radius = self.config["grid_rows"], self.config["grid_radius_ticks"]
        k = grid["k"].tolist()
        if k != list(range(-radius, radius + 1)) or len(k) != rows:
            raise FrameOrderError(f"bin {header['bin_seq']} has {len(k)} rows from k = {k[:1]}; {rows} from {-radius} are due")
        if int(grid["last_event_id"].max()) > header["event_id"]:
            raise FrameOrderError(f"bin {header['bin_seq']} has a last_event_id beyond its event_id")
        self._header, self._last = None, header
        self.n_bins += 1
        self.n_dropped += header["dropped_bins"]
        return header

    def _checked(self, header: dict[str, Any]) -> dict[str, Any]:
        config, last = self.config, self._last
        if config is not None:
            width = config["cell_width_ms"] * 1_000_000
            if header["bin_end_ns"] - header["bin_start_ns"] != width:
                raise FrameOrderError(f"bin {header['bin_seq']} is not {config['cell_width_ms']} ms wide")
        if last is not None:
            n_steps = header["dropped_bins"] + 1
            if header["bin_seq"] != last["bin_seq"] + n_steps:
                raise FrameOrderError(
                    f"bin {header['bin_seq']} came after bin {last['bin_seq']} with dropped_bins {header['dropped_bins']}"
                )
            if n_steps == 1 and header["bin_start_ns"] != last["bin_end_ns"]:
                raise FrameOrderError(f"bin {header['bin_seq']} does not start where the one before ended")
        return header
