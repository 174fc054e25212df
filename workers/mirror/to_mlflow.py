"""Copies in MLflow, by its documented REST API 2.0: a run is found by a tag, a sweep is the parent of its runs."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cwpo.config.environment import settings
from cwpo.errors import ConfigError
from workers.mirror.ask import Server, key_of, server
from workers.mirror.place import Refused
from workers.mirror.read import Row, Told, flat

API = "/api/2.0/mlflow"
RUN_TAG, SWEEP_TAG, PARENT_TAG = "cwpo_identity", "cwpo_sweep", "mlflow.parentRunId"
MOST_METRICS, MOST_OTHERS = 1_000, 100  # of one request
LONGEST_PARAM, LONGEST_TAG = 500, 5_000  # what every server takes
STATUSES = {"queued": "RUNNING", "running": "RUNNING", "done": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
UNFIT = re.compile(r"[^\w\-. :/]", re.ASCII)  # in a name


class MlflowCopy:
    """One run of an experiment. Points carry times that follow from their steps, so that a server with a database
    takes the same point only once, whoever sends it."""

    def __init__(self, at: Server, found: Mapping[str, Any], told: Told) -> None:
        self._server = at
        self._id: str = found["info"]["run_id"]
        self._begun = told.created_at
        data = found.get("data", {})
        self._params = {one["key"] for one in data.get("params", ())}
        self._last = {one["key"]: int(one.get("step", 0)) for one in data.get("metrics", ())}

    def sent(self) -> Mapping[str, int]:
        """By part the last step of the curve that has the fewest."""
        found: dict[str, int] = {}
        for name, step in self._last.items():
            part = name.partition("/")[0]
            found[part] = min(step, found.get(part, step))
        return found

    def log(self, rows: Sequence[Row]) -> int:
        """Points beyond the last one of their curve."""
        points = [point for row in rows for point in self._points(row)]
        for metrics in _chunks(points, MOST_METRICS):
            self._server.ask("POST", f"{API}/runs/log-batch", {"run_id": self._id, "metrics": metrics})
            for one in metrics:
                self._last[one["key"]] = max(one["step"], self._last.get(one["key"], -1))
        return len(points)

    def tell(self, told: Told) -> None:
        """Parameters stay as they were first written."""
        params = {fit(name): _text(value)[:LONGEST_PARAM] for name, value in flat(told.config)}
        new = [{"key": key, "value": value} for key, value in params.items() if key not in self._params]
        for some in _chunks(new, MOST_OTHERS):
            self._server.ask("POST", f"{API}/runs/log-batch", {"run_id": self._id, "params": some})
        self._params |= params.keys()
        self._server.ask("POST", f"{API}/runs/log-batch", {"run_id": self._id, "tags": _pairs(_tags(told))})
        change: dict[str, Any] = {"run_id": self._id, "status": STATUSES[told.status], "run_name": told.title}
        if told.finished_at is not None:
            change["end_time"] = _milliseconds(told.finished_at)
        self._server.ask("POST", f"{API}/runs/update", change)

    def close(self) -> None:
        """Nothing is held."""

    def _points(self, row: Row) -> Iterator[dict[str, Any]]:
        for name, value in row.named.items():
            key = fit(name)
            if row.step > self._last.get(key, -1):
                time = _milliseconds(self._begun) + row.step
                yield {"key": key, "value": value, "timestamp": time, "step": row.step}


class Mlflow:
    """One experiment of one server."""

    def __init__(self, at: Server, experiment: str) -> None:
        self._server, self._name = at, experiment
        self._experiment: str | None = None
        self.shown = f"mlflow at {at.shown}, experiment {experiment}"
        self.key = key_of("mlflow", at.target.hash, experiment)

    def open(self, told: Told) -> MlflowCopy:
        """Find the run by its tag or create it, below that of its sweep."""
        tags = {RUN_TAG: told.identity}
        if told.sweep:
            tags[PARENT_TAG] = self._of_sweep(told, told.sweep)["info"]["run_id"]
        return MlflowCopy(
            self._server, self._find(RUN_TAG, told.identity) or self._create(told, told.title, tags), told
        )

    def _of_sweep(self, told: Told, sweep: str) -> Mapping[str, Any]:
        found = self._find(SWEEP_TAG, tag_value(sweep))
        if found is None:
            found = self._create(told, sweep, {SWEEP_TAG: tag_value(sweep)})
            change = {"run_id": found["info"]["run_id"], "status": "FINISHED"}  # it computes nothing itself
            self._server.ask("POST", f"{API}/runs/update", change)
        return found

    def _find(self, tag: str, value: str) -> Mapping[str, Any] | None:
        """The run with this tag; of several the same every time."""
        wanted = {
            "experiment_ids": [self._experiment_id()], "filter": f"tags.{tag} = '{value}'", "max_results": 100,
            "order_by": ["attributes.start_time ASC"],
        }  # fmt: skip
        found = self._server.ask("POST", f"{API}/runs/search", wanted).get("runs", [])
        return min(found, key=lambda one: (int(one["info"].get("start_time", 0)), one["info"]["run_id"]), default=None)

    def _create(self, told: Told, title: str, tags: Mapping[str, str]) -> Mapping[str, Any]:
        asked = {
            "experiment_id": self._experiment_id(), "run_name": title, "start_time": _milliseconds(told.created_at),
            "tags": _pairs({**tags, "mlflow.source.name": "cwpo"}),
        }  # fmt: skip
        found: Mapping[str, Any] = self._server.ask("POST", f"{API}/runs/create", asked)["run"]
        return found

    def _experiment_id(self) -> str:
        if self._experiment is None:
            try:
                answer = self._server.ask("POST", f"{API}/experiments/create", {"name": self._name})
                self._experiment = str(answer["experiment_id"])
            except Refused:  # it is there
                path = f"{API}/experiments/get-by-name"
                found = self._server.ask("GET", path, experiment_name=self._name)["experiment"]
                self._experiment = str(found["experiment_id"])
        return self._experiment


def place() -> Mlflow:
    """What MLFLOW_TRACKING_URI names."""
    uri = settings.mlflow_uri
    if uri is None:
        raise ConfigError("MLFLOW_TRACKING_URI", "is not set: give it a server's address, as http://127.0.0.1:5000.")
    return Mlflow(server("MLFLOW_TRACKING_URI", uri, _headers()), settings.mirror_project)


def fit(name: str) -> str:
    """A name that MLflow takes."""
    return UNFIT.sub("_", name)[:250]


def tag_value(text: str) -> str:
    """What can stand between quotes in a search."""
    return re.sub(r"['\"`\\%]", "_", text)[:LONGEST_TAG]


def _headers() -> dict[str, str]:
    if settings.mlflow_token:
        return {"Authorization": f"Bearer {settings.mlflow_token}"}
    if settings.mlflow_user and settings.mlflow_password:
        both = f"{settings.mlflow_user}:{settings.mlflow_password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}
    return {}


def _tags(told: Told) -> dict[str, str]:
    words = {f"cwpo.{name}": word for name, word in told.about.items()}
    words |= {"cwpo.status": told.status, "cwpo.error": told.error or "", "cwpo.tags": ", ".join(told.tags)}
    return {name: word[:LONGEST_TAG] for name, word in (words | {"mlflow.note.content": told.note}).items()}


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
