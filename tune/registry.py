"""Champions in the MLflow model registry: a model version per champion version, and the alias `champion`.

The registry mirrors the lake: the pointer in ``lake/models`` is what serving follows.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.champion import Champion
from engine.lake import Lake
from tune.tracking import experiment_id, open_client, tracking_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MODEL_NAME: Final = "spymaster-champion"
ALIAS: Final = "champion"
_EXPERIMENT: Final = "vp/champions"
_VERSION_TAG: Final = "champion_version"


class ChampionRegistry:
    """The registered model of a lake; made where it is missing."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._client: MlflowClient = open_client(lake)
        if not self._client.search_registered_models(f"name = '{MODEL_NAME}'"):
            self._client.create_registered_model(MODEL_NAME, description="What the serving replicas load; mirror of lake/models.")

    def register(self, champion: Champion, path: Path) -> str:
        """Model version of a champion, its YAML as the artifact; the one that is there already where there is one."""
        found = self._find(champion.version)
        if found is not None:
            return found
        tags = {
            _VERSION_TAG: str(champion.version),
            "signal_name": champion.signal,
            "dataset_id": champion.dataset_id,
            "local_run_id": champion.run_id,
        }
        experiment = experiment_id(self._client, self._lake, _EXPERIMENT)
        run = self._client.create_run(experiment, run_name=f"champion:{champion.version}", tags=tags)
        self._client.log_artifact(run.info.run_id, str(path), "champion")
        self._client.set_terminated(run.info.run_id)
        model = self._client.create_model_version(MODEL_NAME, f"{run.info.artifact_uri}/champion", run.info.run_id, tags=tags)
        return str(model.version)

    def move_alias(self, champion_version: int) -> str:
        """Move the alias to a champion's model version.

        Raises
        ------
        LookupError
            The champion was never registered here.
        """
        found = self._find(champion_version)
        if found is None:
            raise LookupError(f"champion {champion_version} is not registered in {tracking_uri(self._lake)}")
        self._client.set_registered_model_alias(MODEL_NAME, ALIAS, found)
        return found

    def drop_alias(self) -> None:
        """Take the alias away where there is one."""
        if ALIAS in self._client.get_registered_model(MODEL_NAME).aliases:
            self._client.delete_registered_model_alias(MODEL_NAME, ALIAS)

    def pointed(self) -> int | None:
        """Champion version under the alias; None before the first promotion."""
        aliases = self._client.get_registered_model(MODEL_NAME).aliases
        if ALIAS not in aliases:
            return None
        return int(self._client.get_model_version(MODEL_NAME, aliases[ALIAS]).tags[_VERSION_TAG])

    def _find(self, champion_version: int) -> str | None:
        query = f"name = '{MODEL_NAME}' and tags.`{_VERSION_TAG}` = '{champion_version}'"
        found = self._client.search_model_versions(query)
        return str(found[0].version) if found else None
