"""What is in a tracker, read by its own API: every point of every run, duplicates too."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.workers.mirror.serving import TOKEN, Points, ask


@dataclass(frozen=True)
class Seen:
    """One run in a tracker."""

    title: str
    group: str | None
    points: Points
    about: Mapping[str, str]
    config: Mapping[str, str]


class Tracker:
    """One server. Each test has a project of its own in it."""

    name: str
    writes: str  # stands in the first line of requests that add points

    def __init__(self, port: int, project: str) -> None:
        self.port, self.project = port, project

    def use(self, patch: pytest.MonkeyPatch, port: int) -> None:
        raise NotImplementedError

    def runs(self) -> list[Seen]:
        raise NotImplementedError

    def is_told(self, seen: Seen, *, status: str, tags: tuple[str, ...] = (), note: str = "") -> None:
        """Whether the run is said to be so."""
        raise NotImplementedError

    def run(self) -> Seen:
        (only,) = self.runs()
        return only


class MlflowTracker(Tracker):
    name, writes = "mlflow", "log-batch"

    def use(self, patch: pytest.MonkeyPatch, port: int) -> None:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    def runs(self) -> list[Seen]:
        found = self._all()
        names = {one["info"]["run_id"]: one["info"]["run_name"] for one in found}
        return [self._seen(one, names) for one in found if "cwpo_identity" in _map(one["data"]["tags"])]

    def is_told(self, seen: Seen, *, status: str, tags: tuple[str, ...] = (), note: str = "") -> None:
        own = {"running": "RUNNING", "done": "FINISHED", "cancelled": "KILLED"}[status]
        assert (seen.about["status"], seen.about["cwpo.status"]) == (own, status)
        assert (seen.about["cwpo.tags"], seen.about["mlflow.note.content"]) == (", ".join(tags), note)

    def _all(self) -> list[Any]:
        experiment = ask(f"{self._api}/experiments/get-by-name?experiment_name={self.project}")["experiment"]
        wanted = {"experiment_ids": [experiment["experiment_id"]], "max_results": 1_000}
        found: list[Any] = ask(f"{self._api}/runs/search", wanted).get("runs", [])
        return sorted(found, key=lambda one: one["info"]["start_time"])

    def _seen(self, run: Any, names: Mapping[str, str]) -> Seen:
        tags = _map(run["data"]["tags"])
        metrics = sorted(one["key"] for one in run["data"].get("metrics", ()))
        return Seen(
            title=run["info"]["run_name"], group=names.get(tags.get("mlflow.parentRunId", "")),
            points=sorted(point for name in metrics for point in self._history(run["info"]["run_id"], name)),
            about={**tags, "status": run["info"]["status"]}, config=_map(run["data"].get("params", ())),
        )  # fmt: skip

    def _history(self, run_id: str, name: str) -> Points:
        points: Points = []
        token = ""
        while True:
            query = f"run_id={run_id}&metric_key={name}&max_results=1000" + (f"&page_token={token}" if token else "")
            answer = ask(f"{self._api}/metrics/get-history?{query}")
            points += [(name, int(one["step"]), float(one["value"])) for one in answer.get("metrics", ())]
            token = answer.get("next_page_token", "")
            if not token:
                return points

    @property
    def _api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/2.0/mlflow"


class TrackioTracker(Tracker):
    name, writes = "trackio", "bulk_log"

    def use(self, patch: pytest.MonkeyPatch, port: int) -> None:
        patch.setenv("TRACKIO_SERVER_URL", f"http://127.0.0.1:{port}/?write_token={TOKEN}")

    def runs(self) -> list[Seen]:
        return [self._seen(run) for run in self._ask("get_runs_for_project")]

    def is_told(self, seen: Seen, *, status: str, tags: tuple[str, ...] = (), note: str = "") -> None:
        found = (seen.about["status"], seen.about["tags"], seen.about["note"])
        assert found == (status, ", ".join(tags), note)

    def _seen(self, run: Any) -> Seen:
        config = self._ask("get_run_summary", run_id=run["id"])["config"] or {}
        query = f"SELECT step, metrics FROM metrics WHERE run_id = '{run['id']}'"
        rows = self._ask("query_project", query=query)["rows"]
        points = [
            (name, int(row["step"]), float(value)) for row in rows for name, value in _values(row["metrics"]).items()
        ]
        return Seen(
            title=run["name"], group=config.get("_Group"), points=sorted(points), about=config,
            config={name: str(value) for name, value in config.items()},
        )  # fmt: skip

    def _ask(self, name: str, **arguments: Any) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/{name}"
        return ask(url, {"kwargs": {"project": self.project, **arguments}})["data"]


def _values(text: Any) -> dict[str, float]:
    found: dict[str, float] = json.loads(text) if isinstance(text, str) else text
    return found


def _map(pairs: Any) -> dict[str, str]:
    return {one["key"]: one["value"] for one in pairs}
