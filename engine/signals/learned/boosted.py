"""What the two boosted-tree signals share: rounds, early stopping and its validation rows.

Source: signals.md sections 5.3 and 5.6; section 14 items 5 and 24.
"""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from engine.schema import Outputs
from engine.signals.learned.labelled import SOON, LabelledParams, LabelledSignal
from engine.signals.learned.schedule import Bins
from engine.signals.learned.training import Fitted, TrainingSet, split_by_time
from engine.signals.learned.trees import blank, score_rows, trees_of

Setting = bool | int | float | str
N_TOP = 10  # features named in the metadata


class BoostedParams(LabelledParams):
    """Rounds of boosting; the fits come every minute."""

    refit_interval_bins: Bins = Field(600, description="bins between two fits")
    refit_delay_bins: Annotated[int, Field(ge=0, le=100_000)] = Field(
        100, description="bins between a fit's data end and the bin it takes effect at; 0 fits on the bin's path"
    )
    num_boost_round: Annotated[int, Field(ge=1, le=10_000)] = Field(200, description="rounds at most")
    early_stopping: Annotated[int, Field(ge=1, le=10_000)] = Field(20, description="rounds without a better validation loss")
    validation: Literal["purged_refit", "overlapping"] = Field(
        "purged_refit",
        description="purged_refit: training rows whose outcome reaches the validation are left out, then all rows are fitted "
        "with the rounds found; overlapping: the last fifth behind the training rows, no second fit",
    )


class BoostedSignal(LabelledSignal):
    """Boosted trees of log odds."""

    prediction_mode: ClassVar[Literal["score", "confidence", "probability"]] = "probability"
    default_thresholds: ClassVar[tuple[float, ...]] = (0.52, 0.55, 0.58, 0.60, 0.65)  # the reference's, but for 0.5: always in
    min_train: ClassVar[int]
    min_validate: ClassVar[int] = 10
    test_params: ClassVar[Any] = (SOON | {"rolling_windows": [20, 60], "num_boost_round": 10},)
    params: BoostedParams

    @abstractmethod
    def _boost(self, train: TrainingSet, validate: TrainingSet | None, n_rounds: int) -> tuple[Any, int]:
        """A booster, and the rounds it is best at; without validation rows all of ``n_rounds``."""

    @abstractmethod
    def _as_table(self, booster: Any, n_rounds: int) -> Fitted:
        """The booster's trees and its features' gains (``gain``, (F,))."""

    def _is_enough(self, data: TrainingSet) -> bool:
        train, validate = self._split(data)
        return len(train) >= self.min_train and len(validate) >= self.min_validate and train.has_both

    def _split(self, data: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        return split_by_time(data, self.params.validation == "purged_refit", self.params.embargo_bins)

    def _fit(self, data: TrainingSet, before: Fitted | None) -> Fitted:
        booster, best = self._boost(*self._split(data), self.params.num_boost_round)
        if self.params.validation == "purged_refit":
            booster, _ = self._boost(data, None, best)
        return self._as_table(booster, best) | {"best_rounds": np.array([best])}

    def _score_rows(self, first: int, last: int, t0: int, fitted: Fitted, out: Outputs) -> None:
        score_rows(self._rows.features, t0, trees_of(fitted), out[first:last])

    def _blank(self) -> Fitted:
        return blank() | {"gain": np.zeros(self.n_features), "best_rounds": np.ones(1, np.int64)}

    @property
    def feature_names(self) -> list[str]:
        """A name a feature."""
        return [f"f{i}" for i in range(self.n_features)]

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Features, fits, and what the last model leans on."""
        found = {**super().metadata(outputs), "feature_names": self.feature_names}
        if self._fitted is not None:
            gains = np.asarray(self._fitted["gain"], np.float64)
            top = np.argsort(-gains, kind="stable")[:N_TOP]
            found["top_features_gain"] = {self.feature_names[i]: float(gains[i]) for i in top if gains[i] > 0}
            found["best_iteration"] = int(self._fitted["best_rounds"][0])
        return found
