"""Hugging Face Hub repositories: resolve a name to a commit, list and check its files, download. Free of torch.

huggingface_hub reads HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE itself; with the last one its cache answers in
the hub's place. Everything that can go wrong is one plain sentence.
"""

import glob
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cwpo.bounds import json_text, paths
from cwpo.errors import ConfigError, CwpoError, ModelError
from cwpo.files import write_whole
from cwpo.full_disk import at_once
from cwpo.models.fetched.names import is_fetched
from cwpo.models.given import folder as given

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
TOKENIZER_FILES = tuple(name for name in MODEL_FILES if "safetensors" not in name)
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
    """Whether a model or dataset name means what lies on this machine; the same rule at submission and on a worker."""
    return is_fetched(name) or name.startswith(("/", "./", "../", "~")) or paths.exists(name)


def resolve_revision(kind: RepoKind, repo_id: str, revision: str | None, *, field: str) -> str:
    """The commit (40 hex digits) of a branch, tag or commit; ConfigError on `field` when there is none."""
    try:
        return describe(kind, repo_id, revision).commit
    except HubError as error:
        raise ConfigError(field, str(error)) from error


def check_model(repo_id: str, revision: str | None, *, home: Path, field: str) -> str:
    """The commit of a model that can be loaded: no custom code, safetensors weights or a converted copy.

    A commit whose files lie here already is not asked for again."""
    try:
        if revision and COMMIT.fullmatch(revision) and (kept := kept_model(repo_id, revision, home=home)) is not None:
            check_config(kept, repo_id)
            check_weights(kept, repo_id)
            return revision
        repository = describe("model", repo_id, revision)
        if is_offline():
            fetch_model(repo_id, repository.commit, home=home)
        check_files(repository, home=home)
    except (HubError, ModelError) as error:
        raise ConfigError(field, str(error)) from error
    return repository.commit


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) says that the hub is not to be asked."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def describe(kind: RepoKind, repo_id: str, revision: str | None) -> Repository:
    """Ask the hub for a repository's commit and files; offline, its cache for what was downloaded of them."""
    from huggingface_hub import HfApi

    if not HUB_ID.fullmatch(repo_id):
        raise HubError(f"{repo_id!r} is neither a folder nor a hub id like owner/name.")
    if is_offline():
        return _described_by_cache(kind, repo_id, revision)
    with sentences(kind, repo_id, revision):
        info = HfApi().repo_info(repo_id, revision=revision, repo_type=kind, timeout=INFO_TIMEOUT)
        files = tuple(sorted(str(item.rfilename) for item in getattr(info, "siblings", None) or ()))
        config = getattr(info, "config", None) or {}
        commit = _commit_of(info)
    _remember_ref(kind, repo_id, revision, commit)
    return Repository(repo_id=repo_id, commit=commit, files=files, custom_code="auto_map" in config)


def _commit_of(info: Any) -> str:
    """The commit in an answer of the hub; it becomes a folder's name, so nothing else is taken for one."""
    commit = str(info.sha)
    if not COMMIT.fullmatch(commit):
        raise ValueError(f"{commit[:80]!r} is no commit")
    return commit


def cache_folder(kind: RepoKind, repo_id: str) -> Path:
    """Where the hub's cache keeps a repository: refs, snapshots and blobs."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    return Path(HF_HUB_CACHE).expanduser() / repo_folder_name(repo_id=repo_id, repo_type=kind)


def snapshot_folder(kind: RepoKind, repo_id: str, commit: str) -> Path:
    """Where the hub's cache keeps the files of one commit, as many as were downloaded."""
    return cache_folder(kind, repo_id) / "snapshots" / commit


def _described_by_cache(kind: RepoKind, repo_id: str, revision: str | None) -> Repository:
    commit = revision if revision and COMMIT.fullmatch(revision) else _remembered_ref(kind, repo_id, revision)
    folder = snapshot_folder(kind, repo_id, commit) if commit else None
    if commit is None or folder is None or not folder.is_dir():
        raise not_kept(kind, repo_id, revision)
    files = tuple(sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()))
    custom = kind == "model" and "config.json" in files and "auto_map" in given.config_of(folder, repo_id)
    return Repository(repo_id=repo_id, commit=commit, files=files, custom_code=custom)


def not_kept(kind: RepoKind, repo_id: str, revision: str | None) -> HubError:
    """The sentence for what is wanted offline and was never downloaded, or not to its end."""
    named = f"{repo_id}@{revision}" if revision else repo_id
    return HubError(
        f"The {kind} {named} is not whole in the cache, and HF_HUB_OFFLINE is set: "
        "run `cwpo fetch CONFIG.yaml` with the same HF_HOME where the hub can be reached."
    )


def _remember_ref(kind: RepoKind, repo_id: str, revision: str | None, commit: str) -> None:
    """Keep which commit a branch stood at, as the hub's clients do, for a machine that will be offline."""
    name = revision or "main"
    if name == commit or ".." in name:
        return
    with suppress(OSError), at_once():  # a cache that cannot be written to
        file = cache_folder(kind, repo_id) / "refs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text().strip() != commit:
            write_whole(file, commit)


def _remembered_ref(kind: RepoKind, repo_id: str, revision: str | None) -> str | None:
    name = revision or "main"
    file = cache_folder(kind, repo_id) / "refs" / name
    return file.read_text().strip() if ".." not in name and file.is_file() else None


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
    if quantized := next((file for file in repository.files if file.endswith(".gguf")), None):
        raise ModelError(
            f"{name} has GGUF files alone: run `cwpo convert {repository.repo_id}@{repository.commit}:{quantized}`, or "
            "with another of them, and name the folder that it makes."
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
    kept = kept_model(repo_id, commit, home=home)
    if kept is not None:
        return kept
    if is_offline():
        raise not_kept("model", repo_id, commit)
    check_files(describe("model", repo_id, commit), home=home)
    return download(repo_id, commit, patterns=MODEL_FILES)


def kept_model(repo_id: str, commit: str, *, home: Path) -> Path | None:
    """The folder with all files of a model that was downloaded or converted before; the hub is not asked."""
    cached = _cached_snapshot(repo_id, commit)
    if cached is not None:
        return cached
    converted = converted_folder(home, repo_id, commit)
    return converted if converted.is_dir() else None


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
    return download(repo_id, commit, patterns=TOKENIZER_FILES)


def download(repo_id: str, commit: str, *, patterns: tuple[str, ...], kind: RepoKind = "model") -> Path:
    """The snapshot folder with the files that match; of a model only those of the top level."""
    from huggingface_hub import snapshot_download

    with sentences(kind, repo_id, commit):
        return Path(snapshot_download(repo_id, repo_type=kind, revision=commit, **_chosen(kind, patterns)))


def sizes(kind: RepoKind, repo_id: str, commit: str, *, patterns: tuple[str, ...]) -> tuple[int, int]:
    """(bytes of the files that match, those that a download would bring); HubError where the disk is too small."""
    from huggingface_hub import snapshot_download

    with sentences(kind, repo_id, commit):
        files = snapshot_download(repo_id, repo_type=kind, revision=commit, dry_run=True, **_chosen(kind, patterns))
    total, new = (
        sum(file.file_size or 0 for file in files if all_of_them or file.will_download) for all_of_them in (True, False)
    )
    place = cache_folder(kind, repo_id)
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free
    if new > free:
        raise HubError(
            f"The {kind} {repo_id} needs {new / 1e9:.1f} GB and {free / 1e9:.1f} GB are free at {place.parent}: "
            "make room, or set HF_HOME to another disk."
        )
    return total, new


def exactly(files: Iterable[str]) -> tuple[str, ...]:
    """Patterns that match these names alone."""
    return tuple(glob.escape(name) for name in files)


def _chosen(kind: RepoKind, patterns: tuple[str, ...]) -> dict[str, Any]:
    """Of a model nothing of its folders, unless a pattern names one."""
    top = kind == "model" and not any("/" in pattern for pattern in patterns)
    return {"allow_patterns": list(patterns), "ignore_patterns": ["*/*"] if top else None}


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
    return found if _is_whole(found) else None


def _is_whole(folder: Path) -> bool:
    """Whether config and every weight file are there: a download may have been cut short before the last of them."""
    names = {file.name for file in folder.iterdir() if file.is_file()}
    if "config.json" not in names or not has_safetensors(tuple(names)):
        return False
    index = folder / "model.safetensors.index.json"
    if "model.safetensors" in names or not index.is_file():
        return "model.safetensors" in names
    try:
        return set(json_text.read_object(index, most=given.MOST_INDEX)["weight_map"].values()) <= names
    except (json_text.JsonError, OSError, KeyError, AttributeError, TypeError):
        return False


def check_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json of a model folder; custom code is refused here whatever the hub said."""
    config = given.config_of(folder, name)
    if "auto_map" in config:
        raise custom_code_error(name)
    return config


def check_weights(folder: Path, name: str) -> None:
    """Whatever an index of the folder names, only safetensors files of the folder itself are read."""
    given.check_weights(folder, name)


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
    except errors.LocalEntryNotFoundError as error:
        raise (not_kept(kind, repo_id, revision) if is_offline() else _unreachable(kind, named)) from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"A file of the {kind} {named} is missing, here and on the hub: check the revision.") from error
    except errors.HFValidationError as error:
        raise HubError(f"{repo_id!r} is not a hub id like owner/name.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise HubError(
            f"The hub answered {status} for the {kind} {named}: try again later, or check HF_TOKEN."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise not_kept(kind, repo_id, revision) from error
    except (httpx2.HTTPError, ConnectionError, TimeoutError) as error:
        raise _unreachable(kind, named) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # JSON of another form, or no JSON
        raise HubError(
            f"What the hub answered for the {kind} {named} cannot be read: check HF_ENDPOINT, or try again later."
        ) from error


def _unreachable(kind: RepoKind, named: str) -> HubError:
    return HubError(
        f"The hub could not be reached for the {kind} {named}: check the network and HF_ENDPOINT, "
        "or use a local file or folder."
    )
