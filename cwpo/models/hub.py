"""Hugging Face Hub repositories: resolve a name to a commit, list and check its files, download. Free of torch.

huggingface_hub reads HF_ENDPOINT, HF_TOKEN and HF_HOME itself. Everything that can go wrong is one plain sentence.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cwpo.errors import ConfigError, CwpoError, ModelError

RepoKind = Literal["model", "dataset"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
INFO_TIMEOUT = 15.0  # seconds for one question to the hub

# Exactly the files a model of transformers needs: no code, no pickles, no second copies of the weights.
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template.jinja",
)
BIN_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


class HubError(CwpoError):
    """A repository cannot be used; the message is the sentence shown to people."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What the hub says of one commit of a repository."""

    repo_id: str
    commit: str
    files: tuple[str, ...]
    custom_code: bool


def is_local(name: str) -> bool:
    """Whether a model or dataset name means a path on this machine; the same rule at submission and on a worker."""
    return name.startswith(("/", "./", "../", "~")) or Path(name).exists()


def resolve_revision(kind: RepoKind, repo_id: str, revision: str | None, *, field: str) -> str:
    """The commit (40 hex digits) of a branch, tag or commit; ConfigError on `field` when there is none."""
    try:
        return describe(kind, repo_id, revision).commit
    except HubError as error:
        raise ConfigError(field, str(error)) from error


def check_model(repo_id: str, revision: str | None, *, home: Path, field: str) -> str:
    """The commit of a model that can be loaded: no custom code, safetensors weights or a converted copy."""
    try:
        repository = describe("model", repo_id, revision)
        check_files(repository, home=home)
    except (HubError, ModelError) as error:
        raise ConfigError(field, str(error)) from error
    return repository.commit


def describe(kind: RepoKind, repo_id: str, revision: str | None) -> Repository:
    """Ask the hub for a repository's commit and files."""
    from huggingface_hub import HfApi

    if not HUB_ID.fullmatch(repo_id):
        raise HubError(f"{repo_id!r} is neither a folder nor a hub id like owner/name.")
    with sentences(kind, repo_id, revision):
        info = HfApi().repo_info(repo_id, revision=revision, repo_type=kind, timeout=INFO_TIMEOUT)
    files = tuple(sorted(item.rfilename for item in getattr(info, "siblings", None) or ()))
    config = getattr(info, "config", None) or {}
    return Repository(repo_id=repo_id, commit=str(info.sha), files=files, custom_code="auto_map" in config)


def check_files(repository: Repository, *, home: Path) -> None:
    """Raise the sentence for a model repository that cannot be loaded as it is."""
    if repository.custom_code:
        raise custom_code_error(repository.repo_id)
    if has_safetensors(repository.files) or converted_folder(home, repository.repo_id, repository.commit).is_dir():
        return
    name = f"{repository.repo_id}@{repository.commit[:12]}"
    if any(Path(file).name == file and file.endswith(".bin") for file in repository.files):
        raise ModelError(
            f"{name} has only .bin weights, which can run code when they are read: pin a revision of it that has "
            f"safetensors (often refs/pr/…), or run `cwpo convert {repository.repo_id}@{repository.commit}` once."
        )
    raise ModelError(f"{name} has no model.safetensors: choose a repository with weights of transformers.")


def has_safetensors(files: tuple[str, ...]) -> bool:
    """Whether the weights are there in transformers' file names."""
    return "model.safetensors" in files or "model.safetensors.index.json" in files


def custom_code_error(name: str) -> ModelError:
    """The sentence for a model that brings its own Python code."""
    return ModelError(
        f"{name} needs its own Python code (auto_map in config.json), which is never run here: "
        "choose a model that transformers knows by itself."
    )


def converted_folder(home: Path, repo_id: str, commit: str) -> Path:
    """Where `cwpo convert` keeps the safetensors copy of a .bin repository; `home` is CWPO_HOME."""
    return home / "converted" / f"{repo_id.replace('/', '--')}@{commit}"


def fetch_model(repo_id: str, revision: str | None, *, home: Path) -> Path:
    """A folder with the model's config, tokenizer and safetensors weights, downloaded once."""
    commit = revision if revision and COMMIT.fullmatch(revision) else describe("model", repo_id, revision).commit
    cached = _cached_snapshot(repo_id, commit)
    if cached is not None:
        return cached
    converted = converted_folder(home, repo_id, commit)
    if converted.is_dir():
        return converted
    check_files(describe("model", repo_id, commit), home=home)
    return download(repo_id, commit, patterns=MODEL_FILES)


def kept_folder(repo_id: str, revision: str | None, *, home: Path) -> Path | None:
    """Where an earlier download or conversion left the model's config.json; the hub is not asked."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(repo_id, "config.json", revision=revision)
    except HFValidationError:
        return None
    if isinstance(cached, str):
        return Path(cached).parent
    converted = converted_folder(home, repo_id, revision or "")
    return converted if converted.is_dir() else None


def fetch_tokenizer(repo_id: str, revision: str | None) -> Path:
    """A folder with the tokenizer and config alone; a repository of .bin weights will do."""
    commit = revision if revision and COMMIT.fullmatch(revision) else describe("model", repo_id, revision).commit
    return download(repo_id, commit, patterns=tuple(name for name in MODEL_FILES if "safetensors" not in name))


def download(repo_id: str, commit: str, *, patterns: tuple[str, ...]) -> Path:
    """The snapshot folder with the files of the top level that match."""
    from huggingface_hub import snapshot_download

    with sentences("model", repo_id, commit):
        return Path(snapshot_download(repo_id, revision=commit, allow_patterns=list(patterns), ignore_patterns=["*/*"]))


def _cached_snapshot(repo_id: str, commit: str) -> Path | None:
    """The complete snapshot of an earlier download: no question to the hub, so workers can run offline."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = Path(
            snapshot_download(
                repo_id,
                revision=commit,
                allow_patterns=list(MODEL_FILES),
                ignore_patterns=["*/*"],
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
    names = tuple(file.name for file in found.iterdir())
    return found if has_safetensors(names) and "config.json" in names else None


def check_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json of a model folder; custom code is refused here whatever the hub said."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{name} has no readable config.json: name a model folder or repository of transformers."
        ) from error
    if "auto_map" in config:
        raise custom_code_error(name)
    return dict(config)


@contextmanager
def sentences(kind: RepoKind, repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the hub's client raises into one sentence that names the repository and the next step."""
    import httpx2
    from huggingface_hub import errors

    named = f"{repo_id}@{revision}" if revision else repo_id
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(f"The {kind} {repo_id} is gated: accept its terms on the hub and set HF_TOKEN.") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"The {kind} {repo_id} does not exist on the hub, or it is private: check the name, or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"The {kind} {repo_id} has no revision {revision}: check the branch, tag or commit.") from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"A file of the {kind} {named} is missing, here and on the hub: check the revision.") from error
    except errors.HFValidationError as error:
        raise HubError(f"{repo_id!r} is not a hub id like owner/name.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise HubError(
            f"The hub answered {status} for the {kind} {named}: try again later, or check HF_TOKEN."
        ) from error
    except (httpx2.HTTPError, ConnectionError, TimeoutError) as error:
        raise HubError(
            f"The hub could not be reached for the {kind} {named}: check the network and HF_ENDPOINT, "
            "or use a local file or folder."
        ) from error
