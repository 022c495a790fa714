"""Snapshots as bytes: what comes back, and that nothing foreign or damaged does."""

import numpy as np
import pytest

from engine import schema
from engine.errors import ConfigError
from engine.schema import pack, unpack

ARRAYS = {
    "one": np.array([[1.5, -0.0], [np.inf, 2.0]]),
    "none": np.zeros((0, 3), np.int64),
    "scalar": np.array(7, np.int8),
    "fields": np.array([(1, 2.5)], [("a", "<i8"), ("b", "<f8")]),
    "turned": np.arange(6).reshape(2, 3).T,
}
DATA = pack("book", "k1", ARRAYS)


def test_arrays_come_back_with_names_kinds_and_bits() -> None:
    back = unpack("book", "k1", DATA)
    assert list(back) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape), name
        assert back[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize(("kind", "key"), [("run", "k1"), ("book", "k2"), ("book", "")])
def test_another_kind_or_key_is_refused_with_both(kind: str, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        unpack(kind, key, DATA)
    assert f"is of book k1 (format 1), not of {kind} {key} (format 1)" in str(error.value)


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_PACK_VERSION", 2)
    with pytest.raises(ConfigError, match=r"format 1\), not of book k1 \(format 2"):
        unpack("book", "k1", DATA)


@pytest.mark.parametrize("place", [0, 7, 8, 39, 40, 60, len(DATA) - 1], ids=lambda place: f"byte {place}")
def test_one_wrong_bit_anywhere_is_refused(place: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= 1
    with pytest.raises(ConfigError, match="the snapshot of book is damaged"):
        unpack("book", "k1", bytes(damaged))
