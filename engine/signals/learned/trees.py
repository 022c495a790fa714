"""Boosted trees as one table of nodes, and the kernel that walks it: the same for LightGBM and XGBoost, one row or many.

Our own walk gives a stream and a sweep the same bits, costs microseconds a row, and makes a fitted model plain arrays.
"""

import json
import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.schema import Floats, Outputs
from engine.signals.learned.training import Fitted

LEAF: Final = -1


class Trees(NamedTuple):
    """Nodes of all trees, one after another.

    ``feature``, ``left``, ``right`` (nodes,) i4, LEAF in ``left`` of a leaf; ``value`` (nodes,) the threshold, at most which goes
    left, or a leaf's value; ``roots`` (trees,) i4; ``base`` (1,) added to the sum of the leaves; log odds.
    """

    feature: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats
    roots: NDArray[np.int32]
    base: Floats


class _Nodes:
    """Nodes being gathered."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, float]] = []
        self.roots: list[int] = []

    def add(self, feature: int, value: float) -> int:
        """A node, for now without children; where it stands."""
        self.rows.append((feature, LEAF, LEAF, value))
        return len(self.rows) - 1

    def join(self, node: int, left: int, right: int) -> None:
        """Give a node its children."""
        feature, _, _, value = self.rows[node]
        self.rows[node] = (feature, left, right, value)

    def fitted(self, base: float) -> Fitted:
        """The arrays."""
        return Trees(
            np.array([row[0] for row in self.rows], np.int32),
            np.array([row[1] for row in self.rows], np.int32),
            np.array([row[2] for row in self.rows], np.int32),
            np.array([row[3] for row in self.rows], np.float64),
            np.array(self.roots, np.int32),
            np.array([base], np.float64),
        )._asdict()


def blank() -> Fitted:
    """One leaf of nothing."""
    nodes = _Nodes()
    nodes.roots.append(nodes.add(0, 0.0))
    return nodes.fitted(0.0)


def trees_of(fitted: Fitted) -> Trees:
    """The part of a fitted model that the kernel reads."""
    return Trees._make(fitted[name] for name in Trees._fields)


def from_lightgbm(booster: Any, n_rounds: int) -> Fitted:
    """The first ``n_rounds`` trees of a LightGBM booster of log odds; its features hold no NaN and no categories."""
    nodes = _Nodes()

    def take(tree: dict[str, Any]) -> int:
        if "split_index" not in tree:
            return nodes.add(0, float(tree["leaf_value"]))
        node = nodes.add(int(tree["split_feature"]), float(tree["threshold"]))
        nodes.join(node, take(tree["left_child"]), take(tree["right_child"]))
        return node

    for one in booster.dump_model(num_iteration=n_rounds)["tree_info"]:
        nodes.roots.append(take(one["tree_structure"]))
    return nodes.fitted(0.0)


def from_xgboost(booster: Any, n_rounds: int) -> Fitted:
    """The first ``n_rounds`` trees of an XGBoost booster with a logistic objective; its features hold no NaN.

    XGBoost goes left below a threshold in single precision, this table at or below: so the next smaller number is taken.
    """
    nodes = _Nodes()
    learner = json.loads(booster.save_raw("json"))["learner"]
    for tree in learner["gradient_booster"]["model"]["trees"][:n_rounds]:
        lefts, rights = tree["left_children"], tree["right_children"]
        first = len(nodes.rows)
        conditions = np.array(tree["split_conditions"], np.float32)
        below = np.nextafter(conditions, np.float32(-np.inf))
        for i, left in enumerate(lefts):
            nodes.add(int(tree["split_indices"][i]), float(conditions[i] if left == LEAF else below[i]))
        for i, left in enumerate(lefts):
            if left != LEAF:
                nodes.join(first + i, first + left, first + rights[i])
        nodes.roots.append(first)
    odds = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    return nodes.fitted(math.log(odds / (1.0 - odds)))


@kernel
def score_rows(features: NDArray[np.floating], t0: int, trees: Trees, out: Outputs) -> None:
    """Probabilities of up of consecutive rows of a ring, the first at ``t0``."""
    capacity = features.shape[0]
    for i in range(out.shape[0]):
        place = (t0 + i) % capacity
        total = trees.base[0]
        for tree in range(trees.roots.shape[0]):
            node = trees.roots[tree]
            while trees.left[node] >= 0:
                if features[place, trees.feature[node]] <= trees.value[node]:
                    node = trees.left[node]
                else:
                    node = trees.right[node]
            total += trees.value[node]
        out[i]["prediction"] = 1.0 / (1.0 + math.exp(-total))
