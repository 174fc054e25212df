"""Datasets of the hub, through the datasets library and without any repository's code."""

from collections.abc import Iterable
from typing import Any

from cwpo.errors import DataError
from cwpo.hub import sentences


def load_splits(repo: str, *, revision: str | None, subset: str | None) -> dict[str, Iterable[dict[str, Any]]]:
    """The splits of a dataset repository; `subset` is a configuration of it or else a folder in it."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    with sentences("dataset", repo, revision):
        try:
            return dict(load_dataset(repo, **_place(repo, revision, subset), revision=revision))
        except DatasetNotFoundError as error:
            raise _not_found(error, repo, revision) from error
        except DatasetGenerationError as error:
            raise DataError(
                f"The files of {repo} cannot be read as rows ({error.__cause__ or error}): "
                "choose another subset, or download a file and give its path."
            ) from error
        except (RuntimeError, ValueError, FileNotFoundError) as error:
            raise DataError(_why_not(error, repo)) from error


def _place(repo: str, revision: str | None, subset: str | None) -> dict[str, str]:
    """Whether the subset names a configuration or a folder."""
    if subset is None:
        return {}
    from huggingface_hub import HfApi

    files = HfApi().list_repo_files(repo, revision=revision, repo_type="dataset")
    return {"data_dir": subset} if any(file.startswith(f"{subset}/") for file in files) else {"name": subset}


def _not_found(error: Exception, repo: str, revision: str | None) -> Exception:
    """datasets hides the hub's own error behind its own; the hub's tells more."""
    from huggingface_hub.errors import HfHubHTTPError

    cause = error.__cause__ or error.__context__
    if isinstance(cause, HfHubHTTPError):
        return cause
    return DataError(f"The dataset {repo} does not exist on the hub or is private: check the name, or set HF_TOKEN.")


def _why_not(error: Exception, repo: str) -> str:
    text = str(error).strip() or type(error).__name__
    if "scripts are no longer supported" in text:
        return (
            f"{repo} is read by its own Python code, which is never run here: set data.revision to "
            "refs/convert/parquet, the hub's own copy as Parquet, and data.subset to a folder of it."
        )
    return f"{repo} cannot be loaded ({text.splitlines()[0][:200]}): check data.subset and data.revision."
