"""Datasets of the hub, through the datasets library and without any repository's code.

What was read once, or fetched ahead of time, is read again without the hub (HF_HUB_OFFLINE): from the files of the very
commit in the hub's cache, never from whatever older download the datasets library may find.
"""

import glob
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cwpo.errors import DataError
from cwpo.files import write_whole
from cwpo.full_disk import at_once
from cwpo.models import hub

ABOUT = ("README.md", "dataset_infos.json", ".huggingface.yaml")  # what says how the files of a repository are read
_ROWS = (".parquet", ".json", ".jsonl", ".csv", ".tsv", ".arrow", ".gz", ".zst", ".zip", ".txt")  # ends of data files
_MOST_NAMED = 12  # subsets in one sentence


def load_splits(repo: str, *, revision: str | None, subset: str | None) -> dict[str, Iterable[dict[str, Any]]]:
    """The splits of a dataset repository; `subset` is a folder in it or else a configuration of it.

    The repository is asked first: `load_dataset` would answer a failure from an older download where it has one.
    """
    repository = hub.describe("dataset", repo, revision)
    _refuse_script(repo, repository.files)
    with _sentences(repo, revision):
        builder = _builder(repository, subset)
        builder.download_and_prepare()
        if not hub.is_offline():
            _note(repository, subset, _files_of(builder))
        return dict(builder.as_dataset())


def stream_splits(repo: str, *, revision: str | None, subset: str | None) -> dict[str, Iterable[dict[str, Any]]]:
    """The same splits, read from the hub as their rows are taken: of large files only the parts that hold these.

    The hub is asked while rows are taken, and its errors are DataError or HubError there, too.
    """
    repository = hub.describe("dataset", repo, revision)
    _refuse_script(repo, repository.files)
    with _sentences(repo, revision):
        found = dict(_builder(repository, subset).as_streaming_dataset())
    return {split: _said(repo, revision, rows) for split, rows in found.items()}


def _said(repo: str, revision: str | None, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with _sentences(repo, revision):
        try:
            yield from rows
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise _no_rows(repo, error) from error


def files_to_fetch(repo: str, *, revision: str | None, subset: str | None) -> tuple[hub.Repository, tuple[str, ...]]:
    """The repository at its commit, and the files that `load_splits` will read of it; nothing is downloaded yet."""
    repository = hub.describe("dataset", repo, revision)
    _refuse_script(repo, repository.files)
    with _sentences(repo, revision):
        data = _files_of(_builder(repository, subset))
    return repository, (*data, *(name for name in ABOUT if name in repository.files))


def note_fetched(repository: hub.Repository, subset: str | None, files: Sequence[str]) -> None:
    """Keep which files a subset has, once all of them are here, so that it can be read without the hub."""
    _note(repository, subset, files)


def _builder(repository: hub.Repository, subset: str | None) -> Any:
    """The reader of the subset's rows; offline it reads the files of the snapshot in the hub's cache."""
    from datasets import load_dataset_builder
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    place = _place(repository.files, subset)
    at, revision = _where(repository, subset)
    try:
        return load_dataset_builder(at, **place, revision=revision)
    except ValueError as error:
        if (sentence := _about_subsets(repository, subset, at, revision)) is None:
            raise
        raise DataError(sentence) from error


def _where(repository: hub.Repository, subset: str | None) -> tuple[str, str | None]:
    """What the datasets library opens: the repository at its commit, or offline its whole snapshot."""
    if not hub.is_offline():
        return repository.repo_id, repository.commit
    folder = hub.snapshot_folder("dataset", repository.repo_id, repository.commit)
    noted = _noted(repository, subset)
    if noted is None or not all((folder / name).is_file() for name in noted):
        raise hub.not_kept("dataset", repository.repo_id, repository.commit)
    return glob.escape(str(folder)), None


def _about_subsets(repository: hub.Repository, subset: str | None, at: str, revision: str | None) -> str | None:
    """The sentence where a subset that is not there was asked for, or none of several; it names those that are."""
    from datasets import get_dataset_config_names, get_dataset_default_config_name

    repo = repository.repo_id
    try:
        configurations = [str(name) for name in get_dataset_config_names(at, revision=revision)]
        usual = get_dataset_default_config_name(at, revision=revision)
    except Exception:  # whatever it is, it was not the subset
        return None
    folders = {file.split("/", 1)[0] for file in repository.files if "/" in file and file.endswith(_ROWS)}
    own = configurations if len(configurations) > 1 or "default" not in configurations else []
    names = _listed([*own, *sorted(folders - set(own))])
    if subset is None:
        return f"{repo} has several subsets: choose one as data.subset: {names}." if usual is None else None
    if "data_dir" in _place(repository.files, subset) or subset in configurations:
        return None
    said = f"{repo} has no subset {subset[:80]!r}: check data.subset, "
    return said + (f"which is one of {names}." if names else "and leave it out: it has none.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(name[:80] for name in names[:_MOST_NAMED]) + more


def _files_of(builder: Any) -> tuple[str, ...]:
    """The data files that a reader takes from the hub, by their names in the repository."""
    urls = [str(url) for files in (builder.config.data_files or {}).values() for url in files]
    return tuple(sorted(url.split("@", 1)[1].split("/", 1)[1] for url in urls if url.startswith("hf://")))


def _note_file(repository: hub.Repository, subset: str | None) -> Path:
    name = hashlib.sha256((subset or "").encode()).hexdigest()[:12]
    folder = hub.cache_folder("dataset", repository.repo_id) / "subsets"
    return folder / f"{repository.commit}-{name}.json"


def _note(repository: hub.Repository, subset: str | None, files: Sequence[str]) -> None:
    folder = hub.snapshot_folder("dataset", repository.repo_id, repository.commit)
    if not files or not all((folder / name).is_file() for name in files):
        return
    with suppress(OSError), at_once():  # a cache that cannot be written to
        file = _note_file(repository, subset)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"subset": subset, "files": sorted(files)}))


def _noted(repository: hub.Repository, subset: str | None) -> list[str] | None:
    try:
        return list(json.loads(_note_file(repository, subset).read_text())["files"])
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def _sentences(repo: str, revision: str | None) -> Iterator[None]:
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    with hub.sentences("dataset", repo, revision):
        try:
            yield
        except DatasetGenerationError as error:
            raise _no_rows(repo, error.__cause__ or error) from error
        except (DatasetNotFoundError, RuntimeError, ValueError, FileNotFoundError) as error:
            raise DataError(
                f"{repo} cannot be loaded ({_first_line(error)}): check data.subset and data.revision."
            ) from error


def _no_rows(repo: str, error: BaseException) -> DataError:
    return DataError(
        f"The files of {repo} cannot be read as rows ({_first_line(error)}): "
        "choose another data.subset, or download a file and give its path."
    )


def _refuse_script(repo: str, files: Sequence[str]) -> None:
    if f"{repo.rpartition('/')[2]}.py" in files:
        raise DataError(
            f"{repo} is read by its own Python code, which is never run here: set data.revision to "
            "refs/convert/parquet, the hub's own copy as Parquet, and data.subset to a folder of it."
        )


def _place(files: Sequence[str], subset: str | None) -> dict[str, str]:
    """Whether the subset names a folder or a configuration."""
    if subset is None:
        return {}
    return {"data_dir": subset} if any(file.startswith(f"{subset}/") for file in files) else {"name": subset}


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
