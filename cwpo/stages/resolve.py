"""Pins everything a run names before its fingerprints are taken: commits of repositories, contents of files, precision.

Free of torch. The hub is asked only here, in the loaders of models and datasets, and by `cwpo convert`.
"""

import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cwpo import places
from cwpo.bounds import paths
from cwpo.config import catalog
from cwpo.config.environment import settings
from cwpo.config.parts import AlongConfig, JudgeConfig
from cwpo.config.run import RunConfig, merged
from cwpo.config.store import store_at
from cwpo.contents import content_of
from cwpo.data import files, relabels
from cwpo.data.chats import check_chats
from cwpo.data.readers.columns import columns_needed
from cwpo.errors import ArtifactError, ConfigError, DataError, ModelError
from cwpo.models import hub
from cwpo.models.fetched.names import folder_of, how_to_get, is_fetched
from cwpo.outlook.foreseen import check, gold_failures
from cwpo.stages.stored_annotator import is_fingerprint, stored_annotator

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHECKED_ROWS = 200
_ASKED = 60  # seconds that another Python has to say what it has installed


def resolve(config: RunConfig, *, bf16: bool, home: Path, read_at_most: int | None = None) -> RunConfig:
    """The same run with every revision and the precision spelled out.

    Raises ConfigError naming the field when a file, folder or repository does not exist or cannot be used.
    `bf16` says whether a GPU that has it will execute the run; it decides `model.precision: auto`. `home` is CWPO_HOME,
    where converted copies of repositories lie, and what is known of local contents. `read_at_most`: bytes of a local
    file or folder that may be hashed; a larger one that was never hashed is pinned by a stand-in, for plans only.
    """
    pins: dict[str, dict[str, object]] = {"data": {}, "model": {}, "evaluation": {}}
    if config.model.precision == "auto":
        pins["model"]["precision"] = "bf16" if bf16 and config.execution.device != "cpu" else "fp32"
    _check_existing_annotator(config, home)
    _check_relabels(config, home)
    pins["data"] |= _dataset(config, home, read_at_most)
    check(config, home)
    for role in ("annotator", "policy"):
        if role == "annotator" and not _uses_annotator(config):
            continue
        name, revision = getattr(config.model, role), getattr(config.model, f"{role}_revision")
        pins["model"][f"{role}_revision"] = pin_model(
            f"model.{role}", name, revision, home=home, read_at_most=read_at_most
        )
    pins["evaluation"] |= _gold(config, home, read_at_most) | _engine(config)
    if config.evaluation.judge is not None:
        pins["evaluation"] |= {"judge": _judge(config.evaluation.judge, home, read_at_most)}
    if config.evaluation.along is not None:
        pins["evaluation"] |= {"along": _along(config.evaluation.along, home, read_at_most)}
    resolved = RunConfig.parse(merged(config.canonical(), pins))
    _check_chats(resolved, home)
    return _with_tokenizer(resolved, home)


def with_gold(config: RunConfig, gold_reward: str, *, home: Path) -> RunConfig:
    """A resolved run under another gold reward, with that one's revision pinned; nothing else is looked up."""
    if gold_reward == config.evaluation.gold_reward:
        raise ConfigError("evaluation.gold_reward", f"is {gold_reward!r} already; choose another one.")
    over: dict[str, object] = {"gold_reward": gold_reward, "gold_revision": None, "gold_model": None}
    over |= {"along": None, "card": None}  # asked for beside the run's own gold reward, which may be the second judge
    judged = RunConfig.parse(merged(config.canonical(), {"evaluation": over}))
    for field, sentence in gold_failures(judged, home):
        raise ConfigError(field, sentence)
    pins: dict[str, dict[str, object]] = {"evaluation": _gold(judged, home)}
    if gold_reward == "trained" and judged.model.annotator_revision is None:
        pinned = pin_model("model.annotator", judged.model.annotator, None, home=home)
        pins["model"] = {"annotator_revision": pinned}
    return RunConfig.parse(merged(judged.canonical(), pins))


def with_judge(config: RunConfig, judge: JudgeConfig, *, home: Path) -> RunConfig:
    """A resolved run with that judge model beside its gold reward; nothing else is looked up."""
    asked = RunConfig.parse(merged(config.canonical(), {"evaluation": {"judge": judge.model_dump(mode="json")}}))
    pins = _judge(judge, home)
    return RunConfig.parse(merged(asked.canonical(), {"evaluation": {"judge": pins}}))


def _judge(judge: JudgeConfig, home: Path, read_at_most: int | None = None) -> dict[str, object]:
    """The revision of a local model. That a server is named here says nothing about the workers of other machines, but
    where it is forgotten everywhere, this is where it is seen first."""
    if judge.kind == "endpoint" and settings.judge_url is None:
        raise ConfigError(
            "evaluation.judge.kind",
            "endpoint needs a server: set CWPO_JUDGE_URL, and CWPO_JUDGE_KEY where it asks for a key, for this program "
            "and its workers.",
        )
    if judge.kind != "local":
        return {}
    field = "evaluation.judge.model"
    return {"revision": pin_model(field, judge.model.strip(), judge.revision, home=home, read_at_most=read_at_most)}


def _along(along: AlongConfig, home: Path, read_at_most: int | None) -> dict[str, object]:
    """The revision of the second judge along training; the oracle has none."""
    row = catalog.GOLD_REWARDS.get(along.second or "oracle")
    if row is not None and row.kind != "model":
        return {}
    revision = along.second_revision or (row.revision if row else None)
    model = str(row.model) if row else str(along.second)
    return {
        "second_revision": pin_model("evaluation.along.second", model, revision, home=home, read_at_most=read_at_most)
    }


def pin_model(
    field: str, name: str, revision: str | None, *, home: Path, read_at_most: int | None = None
) -> str | None:
    """The commit of a hub model or the content hash of a local folder; None for sandbox models."""
    if name in catalog.SANDBOX_MODELS:
        return None
    if hub.is_local(name):
        folder = folder_of(name, home)
        places.check(folder, field)
        if not paths.is_file(folder / "config.json"):
            if is_fetched(name):
                raise ConfigError(field, how_to_get(name))
            raise ConfigError(field, f"{name} is not a model folder; it must hold config.json and safetensors weights.")
        _check_folder(field, folder, name)
        return _content(field, folder, home, read_at_most)
    if not _HUB_ID.fullmatch(name):
        raise ConfigError(field, f"{name!r} is neither a folder nor a hub id like owner/name.")
    pin = None if revision else catalog.MODEL_PINS.get(name)
    return agreed(field, name, pin, hub.check_model(name, pin.revision if pin else revision, home=home, field=field))


def _check_folder(field: str, folder: Path, name: str) -> None:
    try:
        hub.check_config(folder, name)
        hub.check_weights(folder, name)
    except ModelError as error:
        raise ConfigError(field, str(error)) from error


def _content(field: str, path: Path, home: Path, read_at_most: int | None) -> str:
    try:
        return content_of(path, home, read_at_most=read_at_most)
    except OSError as error:
        raise ConfigError(field, f"{path} cannot be read ({error.strerror}); allow it, or name another.") from error


def agreed(field: str, name: str, pin: catalog.ModelPin | None, commit: str) -> str:
    """The commit, if it is the one that the catalog knows; a pull request can be moved by whoever opened it."""
    if pin is not None and not commit.startswith(pin.commit):
        raise ConfigError(
            field,
            f"{name} at {pin.ref} is {commit[:12]} now and not {pin.commit}, whose weights the catalog knows: "
            f"set {field}_revision to a commit that you trust.".replace("gold_reward_revision", "gold_revision"),
        )
    return commit


def _uses_annotator(config: RunConfig) -> bool:
    trained_gold = config.evaluation.gold_reward == "trained" and config.evaluation.gold_model is None
    return config.trains_annotator or trained_gold


def _check_existing_annotator(config: RunConfig, home: Path) -> None:
    """It must lie in the store when the run is submitted; names were replaced by fingerprints before."""
    use = config.annotator.use
    if use is None or not config.needs_annotator:
        return
    if not is_fingerprint(use):
        raise ConfigError(
            "annotator.use", f"{use!r} is a name, which the database knows: submit the run, or give its fingerprint."
        )
    try:
        stored_annotator(store_at(home), use)
    except ArtifactError as error:
        raise ConfigError("annotator.use", str(error)) from error


def _check_relabels(config: RunConfig, home: Path) -> None:
    """The set must lie in the store, and none of its pairs may have a prompt of the evaluation. Of other data than the
    sandbox the stages know which these are, and refuse them."""
    fingerprint = config.data.relabels
    if fingerprint is None:
        return
    if not is_fingerprint(fingerprint):
        raise ConfigError(
            "data.relabels", f"{fingerprint!r} is a name, which the database knows: submit the run, or give its hash."
        )
    try:
        rows = relabels.read(store_at(home), fingerprint)
    except ArtifactError as error:
        raise ConfigError("data.relabels", str(error)) from error
    if config.is_sandbox:
        prompts = relabels.sandbox_prompts(config.data.test_prompts, config.evaluation.seed)
        if found := relabels.held_out(rows, prompts):
            raise ConfigError("data.relabels", relabels.HELD_OUT.format(found, fingerprint[:12]))


def _dataset(config: RunConfig, home: Path, read_at_most: int | None) -> dict[str, object]:
    name, revision, subset = config.data.dataset, config.data.revision, config.data.subset
    if config.is_sandbox:
        return {}
    if hub.is_local(name):
        path = paths.local(name)
        places.check(path, "data.dataset")
        if not paths.is_file(path):
            raise ConfigError("data.dataset", f"{name} does not exist; give a JSONL, JSONL.gz, Parquet or CSV file.")
        try:
            columns = config.data.columns or columns_needed(files.read_head(path, _CHECKED_ROWS)[0])
            files.check_head(path, rows=_CHECKED_ROWS, columns=columns)
        except DataError as error:
            raise ConfigError("data.dataset", str(error)) from error
        return {"revision": _content("data.dataset", path, home, read_at_most), "columns": columns}
    row = catalog.DATASETS.get(name)
    if row and row.file:
        return {"revision": content_of(files.shipped(row.file), home)}
    repo = row.repo if row and row.repo else name
    if not _HUB_ID.fullmatch(repo):
        raise ConfigError(
            "data.dataset",
            f"{name!r} is not known; choose one of {', '.join(catalog.DATASETS)}, a hub id like owner/name, or a file.",
        )
    wanted = revision or (row.revision if row else None)
    pinned = hub.resolve_revision("dataset", repo, wanted, field="data.dataset")
    return {"revision": pinned, "subset": subset or (row.subset if row else None)}


def _check_chats(config: RunConfig, home: Path) -> None:
    """Where file and tokenizers are at hand, their chat templates must take its conversations."""
    if config.is_sandbox or not hub.is_local(config.data.dataset):
        return
    for role in ("annotator", "policy") if _uses_annotator(config) else ("policy",):
        name, revision = getattr(config.model, role), getattr(config.model, f"{role}_revision")
        folder = folder_of(name, home) if hub.is_local(name) else hub.kept_folder(name, revision, home=home)
        if folder is not None and places.may_use(folder):
            file, columns = paths.local(config.data.dataset), config.data.columns
            check_chats(file, folder, field=f"model.{role}", rows=_CHECKED_ROWS, columns=columns)


def _gold(config: RunConfig, home: Path, read_at_most: int | None = None) -> dict[str, object]:
    name = str(config.evaluation.gold_reward)
    row = catalog.GOLD_REWARDS.get(name)
    if row is not None and row.kind != "model":
        return {}
    revision = config.evaluation.gold_revision or (row.revision if row else None)
    model = str(row.model) if row else name
    pinned = pin_model("evaluation.gold_reward", model, revision, home=home, read_at_most=read_at_most)
    return {"gold_revision": pinned}


def engine_version(name: str) -> str | None:
    """The version of an engine on this machine, in the environment that it has of its own or in this one."""
    python = settings.vllm_python
    try:
        if python is None:
            return version(name)
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        asked = [python, "-c", code]
        return subprocess.run(asked, capture_output=True, text=True, timeout=_ASKED, check=True).stdout.strip()
    except (PackageNotFoundError, OSError, subprocess.SubprocessError):
        return None


def _engine(config: RunConfig) -> dict[str, object]:
    """The version of vLLM that will sample: the one that is named, or the one installed here."""
    part = config.evaluation
    if part.engine == "native" or part.engine_version is not None:
        return {}
    found = engine_version(part.engine)
    if found is None:
        raise ConfigError(
            "evaluation.engine",
            f"{part.engine} is not installed here: install the extra (pip install 'cwpo[{part.engine}]'), set "
            "CWPO_VLLM_PYTHON, or say in evaluation.engine_version which version the workers have.",
        )
    return {"engine_version": found}


def _with_tokenizer(config: RunConfig, home: Path) -> RunConfig:
    rule = config.data.length_rule
    if rule is None or (rule.tokenizer is not None and rule.tokenizer_revision is not None):
        return config
    if rule.tokenizer is None:
        pinned = {"tokenizer": config.model.policy, "tokenizer_revision": config.model.policy_revision}
    else:
        pinned = {"tokenizer_revision": _pin_tokenizer(rule.tokenizer, home)}
    return RunConfig.parse(merged(config.canonical(), {"data": {"length_rule": pinned}}))


def _pin_tokenizer(name: str, home: Path) -> str | None:
    """A repository needs no loadable weights to count tokens."""
    field = "data.length_rule.tokenizer"
    if name in catalog.SANDBOX_MODELS or hub.is_local(name):
        return pin_model(field, name, None, home=home)
    pin = catalog.MODEL_PINS.get(name)
    return agreed(field, name, pin, hub.resolve_revision("model", name, pin.revision if pin else None, field=field))
