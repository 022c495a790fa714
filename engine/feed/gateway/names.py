"""Symbols of four kinds resolved by what the tape's files map: raw, by id, by parent, continuous.

Source: Databento, symbology, "supported symbology combinations" of GLBX.MDP3; shape of the answer by `symbology.resolve`.
"""

import re
from collections import defaultdict
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from engine.constants import ACTION_TRADE
from engine.feed.gateway.tape import Contract, Tape
from engine.source.contracts import delivery_of, root_of

COMBINATIONS: Final = {
    ("raw_symbol", "instrument_id"),
    ("parent", "instrument_id"),
    ("continuous", "instrument_id"),
    ("instrument_id", "raw_symbol"),
}
INPUTS: Final = {"raw_symbol", "parent", "continuous", "instrument_id"}  # by which records may be asked for
ALL: Final = "ALL_SYMBOLS"
_CONTINUOUS: Final = re.compile(r"([A-Z0-9]+)\.([cv])\.(\d+)")  # the vendor's third rule, by open interest, needs other data
_PARENT: Final = re.compile(r"([A-Z0-9]+)\.FUT")


class Names:
    """Who is who on a tape, day by day."""

    def __init__(self, tape: Tape) -> None:
        self._contracts = tape.contracts
        self._days = tape.days
        self._traded = _volume(tape)

    def resolve(self, symbols: list[str], stype_in: str, stype_out: str, start: date, end: date) -> dict[str, Any]:
        """The answer of `symbology.resolve` for the days from ``start`` until ``end``, which is not one of them."""
        result: dict[str, list[dict[str, str]]] = {}
        partial, missing = [], []
        for symbol in symbols:
            spans = self._spans(symbol, stype_in, start, end)
            if not spans:
                missing.append(symbol)
                continue
            covered = {first + timedelta(days=i) for _, first, last in spans for i in range((last - first).days)}
            if len(covered) < (end - start).days:
                partial.append(symbol)
            if stype_in == "parent":
                for one, first, last in spans:  # a parent's answer is by contract
                    result.setdefault(one.symbol, []).append(_answer(one, stype_out, first, last))
            else:
                result[symbol] = [_answer(one, stype_out, first, last) for one, first, last in spans]
        message = "Not found" if missing else "Partially resolved" if partial else "OK"
        return {
            "result": result,
            "symbols": symbols,
            "stype_in": stype_in,
            "stype_out": stype_out,
            "start_date": start.isoformat(),
            "end_date": end.isoformat(),
            "partial": partial,
            "not_found": missing,
            "message": message,
            "status": 2 if missing else 1 if partial else 0,
        }

    def contracts(self, symbols: list[str], stype_in: str, start: date, end: date) -> list[tuple[str, Contract]]:
        """Each contract that some symbols stand for on some of these days, with the symbol; in the order asked for."""
        found = {(symbol, one): None for symbol in symbols for one, _, _ in self._spans(symbol, stype_in, start, end)}
        return list(found)

    def _spans(self, symbol: str, stype_in: str, start: date, end: date) -> list[tuple[Contract, date, date]]:
        if stype_in == "continuous":
            return self._ranked(symbol, start, end)
        chosen = []
        for one in self._contracts:
            if symbol == ALL:
                is_it = True
            elif stype_in == "parent":
                is_it = (parent := _PARENT.fullmatch(symbol)) is not None and root_of(one.symbol.split("-")[0]) == parent[1]
            else:
                is_it = symbol == (one.symbol if stype_in == "raw_symbol" else str(one.instrument_id))
            first, last = max(one.first, start), min(one.end, end)
            if is_it and first < last:
                chosen.append((one, first, last))
        return _joined(sorted(chosen, key=lambda span: (span[0].symbol, span[1])))

    def _ranked(self, symbol: str, start: date, end: date) -> list[tuple[Contract, date, date]]:
        """``ROOT.c.N``: the N-th to be delivered; ``ROOT.v.N``: the N-th by what traded the day before."""
        found = _CONTINUOUS.fullmatch(symbol)
        if not found:
            return []
        root, rule, rank = found[1], found[2], int(found[3])
        chosen = []
        for day in self._days:
            there = [one for one in self._contracts if root_of(one.symbol) == root and one.first <= day < one.end]
            before = max(day - timedelta(days=1), self._days[0])
            if rule == "c":
                there.sort(key=lambda one: delivery_of(one.symbol, day))
            else:
                there.sort(key=lambda one: -self._traded[before, one.instrument_id])
            if start <= day < end and rank < len(there):
                chosen.append((there[rank], day, day + timedelta(days=1)))
        return _joined(chosen)


def _joined(spans: list[tuple[Contract, date, date]]) -> list[tuple[Contract, date, date]]:
    """Spans of one contract that follow each other as one."""
    out: list[tuple[Contract, date, date]] = []
    for one, first, last in spans:
        if out and out[-1][0].symbol == one.symbol and out[-1][0].instrument_id == one.instrument_id and out[-1][2] >= first:
            out[-1] = (out[-1][0], out[-1][1], max(last, out[-1][2]))
        else:
            out.append((one, first, last))
    return out


def _answer(one: Contract, stype_out: str, first: date, last: date) -> dict[str, str]:
    symbol = one.symbol if stype_out == "raw_symbol" else str(one.instrument_id)
    return {"d0": first.isoformat(), "d1": last.isoformat(), "s": symbol}


def _volume(tape: Tape) -> defaultdict[tuple[date, int], int]:
    """Contracts traded by day and instrument id."""
    volume: defaultdict[tuple[date, int], int] = defaultdict(int)
    trades = tape.records[np.flatnonzero(tape.records["action"] == ACTION_TRADE)]
    days = trades["ts_recv"].astype("datetime64[ns]").astype("datetime64[D]")
    for day in tape.days:
        of_day = trades[days == np.datetime64(day)]
        for one in np.unique(of_day["instrument_id"]):
            volume[day, int(one)] = int(of_day["size"][of_day["instrument_id"] == one].sum())
    return volume
