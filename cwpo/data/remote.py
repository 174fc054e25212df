"""Datasets of the hub, through the datasets library and without any repository's code."""

from collections.abc import Iterable, Sequence
from typing import Any

from cwpo.errors import DataError
from cwpo.models.hub import describe, sentences


def load_splits(repo: str, *, revision: str | None, subset: str | None) -> dict[str, Iterable[dict[str, Any]]]:
    """The splits of a dataset repository; `subset` is a folder in it or else a configuration of it.

    The repository is asked first: `load_dataset` would answer a failure from an older download where it has one.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    repository = describe("dataset", repo, revision)
    _refuse_script(repo, repository.files)
    with sentences("dataset", repo, revision):
        try:
            return dict(load_dataset(repo, **_place(repository.files, subset), revision=repository.commit))
        except DatasetGenerationError as error:
            raise DataError(
                f"The files of {repo} cannot be read as rows ({_first_line(error.__cause__ or error)}): "
                "choose another data.subset, or download a file and give its path."
            ) from error
        except (DatasetNotFoundError, RuntimeError, ValueError, FileNotFoundError) as error:
            raise DataError(
                f"{repo} cannot be loaded ({_first_line(error)}): check data.subset and data.revision."
            ) from error


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
