"""Snapshots: named arrays as bytes, versioned and checksummed, without pickle."""

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

_MAGIC = b"SPYSTATE"
_VERSION = 1


def pack(kind: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as one block of bytes.

    Parameters
    ----------
    kind, key
        What is packed and which parameters it belongs to; `unpack` refuses any other.
    """
    body = io.BytesIO()
    header = json.dumps({"version": _VERSION, "kind": kind, "key": key, "names": list(arrays)}).encode()
    body.write(len(header).to_bytes(4, "little") + header)
    for array in arrays.values():
        np.lib.format.write_array(body, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    payload = body.getvalue()
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def unpack(kind: str, key: str, data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a `pack`.

    Raises
    ------
    ConfigError
        When the bytes are damaged, of another kind, or belong to other parameters.
    """
    digest, payload = data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    if not data.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
        raise ConfigError(f"the snapshot of {kind} is damaged; make it anew")
    body = io.BytesIO(payload)
    header = json.loads(body.read(int.from_bytes(body.read(4), "little")))
    if (header["version"], header["kind"], header["key"]) != (_VERSION, kind, key):
        raise ConfigError(
            f"the snapshot is of {header['kind']} {header['key']} (format {header['version']}), not of {kind} {key} "
            f"(format {_VERSION}); make it anew"
        )
    return {name: np.lib.format.read_array(body, allow_pickle=False) for name in header["names"]}
