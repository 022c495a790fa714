"""What a class says of itself, each fault alone: the fault is told, and what stands just beside it is none."""

from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import ConfigError
from engine.signals.base import COMMON_FIELDS
from engine.signals.declaration import faults, parameters_to_test, require_declared
from engine.signals.owner import SignalParams
from tests.test_engine.test_signals.faulty_signals import Sound


class Thawed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    window_bins: int = 10


class Open(BaseModel):
    model_config = ConfigDict(frozen=True)
    window_bins: int = 10


class Needing(SignalParams):
    window_bins: int


class Cooling(SignalParams):
    cooldown_bins: int = 1


class OffBound(SignalParams):
    window_bins: int = Field(0, ge=1)


class Tuples(SignalParams):
    levels: tuple[float, ...] = (0.5, 1.0)


def dtype(*fields: tuple[str, str]) -> np.dtype[Any]:
    return np.dtype([*COMMON_FIELDS, *fields])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"name": "mine_2"}, []),
        ({"name": "2mine"}, ["name was '2mine'"]),
        ({"name": "m\u00efne"}, ["name was 'm\u00efne'"]),
        ({"name": 5}, ["name was 5"]),
        ({"name": "all"}, ["name was 'all', which means every signal"]),
        ({"name": "All"}, []),
        ({"required_columns": ["v_add", "v_pull"]}, []),
        ({"required_columns": ("v_add", 5)}, ["required_columns was ('v_add', 5)"]),
        ({"required_columns": {"v_add"}}, ["required_columns was {'v_add'}"]),
        ({"required_columns": (), "required_fields": ("mid_price",)}, []),
        (
            {"required_fields": ("mid_price", "mid_price")},
            ["('mid_price', 'mid_price'); each may stand once"],
        ),
        ({"required_columns": ("mid_price",)}, ["required_columns has 'mid_price'; put it in required_fields"]),
        ({"default_thresholds": [0.1, 0.2]}, []),
        ({"default_thresholds": (np.float64(0.1), np.int64(2))}, []),
        ({"default_thresholds": (-1.0, 0.0, 1.0)}, []),
        ({"default_thresholds": None}, ["default_thresholds is missing"]),
        ({"default_thresholds": (True,)}, ["default_thresholds was (True,)"]),
        ({"default_thresholds": (float("nan"),)}, ["default_thresholds was (nan,)"]),
        ({"default_thresholds": ("0.1",)}, ["default_thresholds was ('0.1',)"]),
        ({"default_thresholds": 0.1}, ["default_thresholds was 0.1"]),
        ({"trigger": "level"}, []),
        ({"trigger": True}, ["trigger was True"]),
        ({"prediction_mode": "confidence"}, []),
        ({"prediction_mode": "probability"}, []),
        ({"prediction_mode": ["score"]}, ["prediction_mode was ['score']"]),
        ({"is_odd": False}, []),
        ({"is_odd": 1}, ["is_odd was 1"]),
        ({"output_dtype": dtype(("more", "i4"))}, []),
        ({"output_dtype": dtype(("prediction", "f8"))}, []),
        ({"output_dtype": dtype(("prediction", "f4"))}, ["output_dtype has prediction as float32; it must be f8"]),
        ({"output_dtype": np.dtype([("score", "f4"), ("ready", "?"), ("sample_count", "i8")])}, ["begins with score, ready"]),
        ({"output_dtype": np.dtype([("score", "f8"), ("ready", "?")])}, ["begins with score, ready"]),
        ({"output_dtype": np.dtype([("more", "i4"), *COMMON_FIELDS])}, ["begins with more, score, ready"]),
        ({"Params": Thawed}, ["Params must be frozen"]),
        ({"Params": Open}, ["Params must refuse unknown keys"]),
        ({"Params": Cooling, "test_params": ({},)}, ["Params has cooldown_bins, which is a rule of every sweep"]),
        ({"Params": Needing, "test_params": ({"window_bins": 3},)}, ["Params: window_bins must have a default"]),
        ({"Params": Tuples, "test_params": ({},)}, []),
        ({"Params": OffBound, "test_params": ({"window_bins": 1},)}, ["Params do not take their own defaults"]),
        ({"test_params": []}, ["test_params was []"]),
        ({"test_params": "window_bins"}, ["test_params was 'window_bins'"]),
        ({"test_params": [{"window_bins": 3}, 5]}, ["test_params was [{'window_bins': 3}, 5]"]),
        ({"test_params": ({"window_bins": 3}, {"window": 3})}, ["test_params {'window': 3}: window"]),
        ({"__init__": lambda self, params: None}, ["it must be made as Class(params, context)"]),
        ({"__init__": lambda self, params, context, more: None}, ["it must be made as Class(params, context)"]),
        ({"__init__": lambda self, params, context, more=1: None}, []),
    ],
)
def test_each_fault_is_told_alone(changes: dict[str, Any], words: list[str]) -> None:
    found = faults(type("Changed", (Sound,), changes))
    assert len(found) == len(words), found
    assert [word for word, line in zip(words, found, strict=True) if word not in line] == [], found


def test_what_is_refused_names_the_place_the_class_and_how_many_more() -> None:
    require_declared(Sound, "here")
    with pytest.raises(ConfigError, match=r"^here, class Bad: name was 'all', which means every signal; choose another$"):
        require_declared(type("Bad", (Sound,), {"name": "all"}), "here")
    twice = type("Bad", (Sound,), {"name": "all", "trigger": "often", "is_odd": 1})
    with pytest.raises(ConfigError, match=r"choose another \(and 2 more; see: python -m engine check-signal\)$"):
        require_declared(twice, "here")


def test_the_parameters_a_class_is_tried_with() -> None:
    assert parameters_to_test(type("Plain", (), {})) == [{}]
    assert parameters_to_test(type("Two", (), {"test_params": ({"a": 1}, {"a": 2})})) == [{"a": 1}, {"a": 2}]
    assert parameters_to_test(type("Asked", (), {"test_params": classmethod(lambda cls: [{"a": 3}])})) == [{"a": 3}]
    assert faults(5) == ["5 is no class"]
