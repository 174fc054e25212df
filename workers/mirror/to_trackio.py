"""Copies in trackio, by the HTTP API of its server (`trackio show`). Each row has an id of its own there, so that the
server takes it only once, whoever sends it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cwpo.config.environment import settings
from cwpo.errors import ConfigError
from workers.mirror.ask import Server, key_of, server
from workers.mirror.place import Away, Refused
from workers.mirror.read import Row, Told, flat

MOST_ROWS = 500  # of one request
NAME, TOKEN_HEADER, TOKEN_WORD = "TRACKIO_SERVER_URL", "x-trackio-write-token", "write_token"
# The last step of each part, from the ids of its rows: RUN/PART/STEP.
LAST = """SELECT substr(log_id, {start}, length(log_id) - length(step) - {start}) AS part, MAX(step) AS step
FROM metrics WHERE log_id >= '{run}/' AND log_id < '{run}0' GROUP BY 1"""


class Trackio:
    """One project of one server."""

    def __init__(self, at: Server, project: str) -> None:
        self.server, self.project = at, project
        self.shown = f"trackio at {at.shown}, project {project}"
        self.key = key_of("trackio", at.target.hash, project)

    def open(self, told: Told) -> "TrackioCopy":
        """Under the name that the run has there, or under its title: trackio knows a run by its id."""
        known = self.call("get_runs_for_project", project=self.project)
        names = {str(run.get("id")): str(run.get("name")) for run in known if isinstance(run, dict)}
        return TrackioCopy(self, names.get(told.identity, told.title), told.identity)

    def call(self, name: str, **arguments: Any) -> Any:
        """One endpoint of the server."""
        return self.server.ask("POST", f"/api/{name}", {"kwargs": arguments}).get("data")


class TrackioCopy:
    """One run of a project."""

    def __init__(self, at: Trackio, name: str, identity: str) -> None:
        self._at, self._name, self._identity = at, name, identity

    def sent(self) -> Mapping[str, int]:
        """Only to send less: where the server does not answer this question, it still takes no row twice."""
        query = LAST.format(run=self._identity, start=len(self._identity) + 2)
        try:
            rows = self._at.call("query_project", project=self._at.project, query=query)["rows"]
        except (Away, Refused):
            return {}
        return {str(row["part"]): int(row["step"]) for row in rows}

    def log(self, rows: Sequence[Row]) -> int:
        """Rows with their ids."""
        for start in range(0, len(rows), MOST_ROWS):
            self._add([self._entry(row) for row in rows[start : start + MOST_ROWS]])
        return sum(len(row.values) for row in rows)

    def tell(self, told: Told) -> None:
        """All of it in the configuration: trackio keeps no status, tag or note of a run besides."""
        said = {
            "_Group": told.sweep, "_Created": told.created_at.isoformat(), "title": told.title, "status": told.status,
            "error": told.error or "", "tags": ", ".join(told.tags), "note": told.note,
        }  # fmt: skip
        config = {**told.about, **dict(flat(told.config)), **said}
        self._add([{"metrics": {}, "step": 0, "log_id": f"{self._identity}/told/0", "config": config}])

    def close(self) -> None:
        """Nothing is held."""

    def _entry(self, row: Row) -> dict[str, Any]:
        return {"metrics": row.named, "step": row.step, "log_id": f"{self._identity}/{row.part}/{row.step}"}

    def _add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        whose = {"project": self._at.project, "run": self._name, "run_id": self._identity}
        self._at.call("bulk_log", logs=[{**whose, **entry} for entry in entries], hf_token=None)


def place() -> Trackio:
    """What TRACKIO_SERVER_URL names."""
    if settings.trackio_url is None:
        raise ConfigError(NAME, "is not set: give it the address that `trackio show` prints.")
    at = server(NAME, settings.trackio_url, {})
    token = at.query.get(TOKEN_WORD) or settings.trackio_token
    headers = {TOKEN_HEADER: token} if token else {}
    return Trackio(Server(target=at.target, headers=headers), settings.mirror_project)
