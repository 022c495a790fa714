"""Codes, flags and sentinels of the market-by-order feed.

Source: Databento DBN, ``mbo`` schema; engine.md section 1.
"""

from typing import Final

RTYPE_MBO: Final = 160
RTYPE_SYMBOL_MAPPING: Final = 0x16
# Of a live recording: what is no order but told beside them, by kind.
RTYPE_NAMES: Final = {0x12: "status", 0x13: "definition", 0x14: "imbalance", 0x15: "error", 0x17: "system", 0x18: "statistics"}
MBO_RECORD_BYTES: Final = 56
MBO_LENGTH_WORDS: Final = 14  # the header's `length` counts 4-byte words

ACTION_ADD: Final = ord("A")
ACTION_CANCEL: Final = ord("C")
ACTION_MODIFY: Final = ord("M")
ACTION_FILL: Final = ord("F")
ACTION_TRADE: Final = ord("T")
ACTION_NONE: Final = ord("N")
ACTION_CLEAR: Final = ord("R")

SIDE_BID: Final = ord("B")
SIDE_ASK: Final = ord("A")
SIDE_NONE: Final = ord("N")

F_LAST: Final = 128
F_TOB: Final = 64
F_SNAPSHOT: Final = 32
F_MBP: Final = 16
F_BAD_TS_RECV: Final = 8
F_MAYBE_BAD_BOOK: Final = 4

PRICE_SCALE: Final = 1e-9  # dollars per price unit
UNDEF_PRICE: Final = 2**63 - 1
UNDEF_TIMESTAMP: Final = 2**64 - 1
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_S

# A field this far from the last record while the exchange is open is a hole, not a quiet market.
FEED_GAP_NS: Final = 60 * NS_PER_S

# Truth bits of a bin (`quality`), engine.md section 4.
Q_COLD: Final = 1
Q_GAP: Final = 2
Q_CROSSED: Final = 4
Q_ONE_SIDED: Final = 8
Q_BAD_TIME: Final = 16
Q_DOUBTFUL: Final = 32
Q_CLOSED: Final = 64
Q_ROLL: Final = 128

QUALITY_NAMES: Final[dict[int, str]] = {
    Q_COLD: "cold",
    Q_GAP: "gap",
    Q_CROSSED: "crossed",
    Q_ONE_SIDED: "one_sided",
    Q_BAD_TIME: "bad_time",
    Q_DOUBTFUL: "doubtful_book",
    Q_CLOSED: "closed",
    Q_ROLL: "roll",
}

# What the market sent that a clean book would not hold; counted by kind, never fatal.
ANOMALIES: Final[tuple[str, ...]] = (
    "unknown_cancel",
    "unknown_modify",
    "unknown_fill",
    "duplicate_add",
    "undefined_price",
    "bad_side",
    "bad_action",
    "off_tick_price",
    "crossed_event_end",
    "late_record",
    "outside_window",
)
