"""Copies in W&B, by its Python package: a run is resumed by its identity, a sweep is a group.

Where a part has got to is a column of its rows, so the summary of a resumed run says what is there already."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from cwpo.config.environment import settings
from cwpo.errors import ConfigError
from db.status import FAILED
from workers.mirror.ask import key_of
from workers.mirror.place import Away
from workers.mirror.read import Row, Told

STEP = "step"
LONGEST_TAG = 64


class WandbCopy:
    """One run of a project."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._parts: set[str] = set()
        self._code = 0

    def sent(self) -> Mapping[str, int]:
        """What the summary says; offline there is none, and the run is written whole."""
        steps = {key: value for key, value in dict(self._run.summary).items() if key.endswith(f"/{STEP}")}
        return {key.removesuffix(f"/{STEP}"): int(value) for key, value in steps.items()}

    def log(self, rows: Sequence[Row]) -> int:
        """One row of the history each, drawn over the steps of its part."""
        for row in rows:
            if row.part not in self._parts:
                self._run.define_metric(f"{row.part}/*", step_metric=f"{row.part}/{STEP}")
                self._parts.add(row.part)
            self._run.log({**row.named, f"{row.part}/{STEP}": row.step})
        return sum(len(row.values) for row in rows)

    def tell(self, told: Told) -> None:
        """Configuration, tags and note; the status follows from how the run is closed."""
        self._run.config.update({**told.config, "cwpo": {**told.about, "status": told.status}}, allow_val_change=True)
        self._run.name = told.title
        self._run.tags = tuple(tag[:LONGEST_TAG] for tag in told.tags)
        self._run.notes = told.note
        self._run.summary.update({"status": told.status, "error": told.error or ""})
        self._code = 1 if told.status == FAILED else 0

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish(exit_code=self._code)


class Wandb:
    """One project."""

    def __init__(self, package: Any, project: str) -> None:
        self._package, self._project = package, project
        self.shown = f"wandb, project {project}"
        self.key = key_of("wandb", project)

    def open(self, told: Told) -> WandbCopy:
        """Resume the run, or begin it."""
        quiet = self._package.Settings(
            console="off", silent=True, disable_git=True, save_code=False, disable_code=True, x_disable_stats=True,
            x_disable_meta=True, x_save_requirements=False, disable_job_creation=True,
        )  # fmt: skip
        try:
            run = self._package.init(
                project=self._project, id=told.identity, resume="allow", reinit="create_new", name=told.title,
                group=told.sweep, dir=str(settings.home), settings=quiet,
            )  # fmt: skip
        except Exception as error:  # of many classes: no key, no network, no project
            raise Away(f"wandb cannot begin: {' '.join(str(error).split())[:300]}") from error
        return WandbCopy(run)


def place() -> Wandb:
    """The package's own variables say where and who: WANDB_API_KEY, WANDB_BASE_URL, WANDB_ENTITY, WANDB_MODE."""
    try:
        package = importlib.import_module("wandb")
    except ImportError as error:
        raise ConfigError("wandb", "is not installed: pip install 'cwpo[wandb]'.") from error
    return Wandb(package, settings.mirror_project)
