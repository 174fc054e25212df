"""An exported folder becomes a repository of the hub. Free of torch.

The token is read by the hub's client from HF_TOKEN or its own login; it is never looked at here, stored or written.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cwpo.errors import ConfigError, CwpoError
from cwpo.export import words
from cwpo.models import hub
from cwpo.models.hub import HubError, is_offline, sentences

TEXTS = (".md", ".json", ".jinja", ".txt")
WEIGHTS = (".safetensors", ".safetensors.index.json")
MESSAGE = "Model exported by cwpo"


def check_repo(name: str) -> str:
    """The name as it is, without blanks around it; ConfigError where it is none."""
    name = name.strip()
    if name.count("/") != 1 or hub.HUB_ID.fullmatch(name) is None:
        raise ConfigError("REPO", f"{name[:80]!r} is no name of a repository: write OWNER/NAME.")
    return name


def check_token() -> str:
    """The token of this process; HubError where there is none."""
    from huggingface_hub import get_token

    if is_offline():
        raise HubError("HF_HUB_OFFLINE is set, so nothing is sent to the hub: unset it where the hub can be reached.")
    token = get_token()
    if not token:
        raise HubError("There is no token for the hub: set HF_TOKEN where the dashboard is started, then try again.")
    return token


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = True,
    existing: bool = False,
    say: Callable[[str], None] = lambda words: None,
) -> str:
    """Upload a whole export; the address of its page. A repository that exists is refused unless it is said to."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    repo, token = check_repo(repo), check_token()
    if words.read_report(folder) is None:
        raise CwpoError(f"{folder} holds no finished export: export the model first.")
    _check_quiet(folder, token)
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    api = HfApi()
    with sentences("model", repo, None):
        say(f"making the repository {repo}")
        there = _made(api, repo, private=private)
        if there and not existing:
            raise ConfigError(
                "REPO", f"{repo} exists already: give another name, or say that its files may be replaced."
            )
        stale = [name for name in there if name.endswith(WEIGHTS) and name not in files]
        say(f"uploading {len(files)} files to {repo}")
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in files),
            *(CommitOperationDelete(path_in_repo=name) for name in stale),
        ]
        done = api.create_commit(repo, operations, commit_message=MESSAGE)  # all of it or nothing
    return str(done.commit_url).partition("/commit/")[0]


def _made(api: Any, repo: str, *, private: bool) -> list[str]:
    """A new repository, or the files that one of this name has; one that an upload left empty counts as new."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo, private=private)
        return []
    except HfHubHTTPError as error:
        if getattr(error.response, "status_code", None) != 409:
            raise
    return [name for name in api.list_repo_files(repo) if name != ".gitattributes"]


def _check_quiet(folder: Path, token: str) -> None:
    """Neither the token nor this user's home folder stands in a file that is to be sent."""
    secrets = {token, str(Path.home())} - {"/", ""}
    for file in folder.rglob("*"):
        if file.suffix in TEXTS and any(secret in file.read_text(errors="replace") for secret in secrets):
            raise CwpoError(f"{file.name} holds a path or token of this machine, so nothing was sent: export it again.")
