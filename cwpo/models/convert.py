"""`cwpo convert REPO@COMMIT`: the one place that reads .bin weights, once, and keeps a safetensors copy.

The file is read by `torch.load(weights_only=True)` in a process of its own that has no token, no sockets and, where the
kernel allows it, no network at all. Everything else in this program reads safetensors.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cwpo.errors import ModelError
from cwpo.models import hub

TIMEOUT = 3600.0  # seconds for reading and writing all files of one model
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def convert(repo_at_commit: str, *, home: Path, log: Callable[[str], None] = lambda message: None) -> Path:
    """The folder with the safetensors copy of `owner/name@revision`; made now unless it is there already."""
    repo_id, _, revision = repo_at_commit.partition("@")
    repository = hub.describe("model", repo_id, revision or None)
    target = hub.converted_folder(home, repo_id, repository.commit)
    if target.is_dir():
        log(f"{repo_id}@{repository.commit} was converted before.")
        return target
    bins = _bin_files(repository)
    log(f"Downloading {len(bins)} file(s) of {repo_id}@{repository.commit}.")
    source = hub.download(repo_id, repository.commit, patterns=(*hub.MODEL_FILES, *hub.BIN_FILES))
    hub.check_config(source, repo_id)
    work = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    work.mkdir(parents=True)
    try:
        log("Reading the weights in a process without token and network.")
        confinement = _in_own_process(source, bins, work, repo_id)
        _copy_rest(source, work)
        origin = {"repo": repo_id, "commit": repository.commit, "files": list(bins), "confinement": confinement}
        (work / "converted.json").write_text(json.dumps(origin, sort_keys=True))
        os.rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    log(f"Kept as {target}; {repo_id}@{repository.commit} loads from now on.")
    return target


def _bin_files(repository: hub.Repository) -> tuple[str, ...]:
    name = f"{repository.repo_id}@{repository.commit[:12]}"
    if repository.custom_code:
        raise hub.custom_code_error(repository.repo_id)
    if hub.has_safetensors(repository.files):
        raise ModelError(f"{name} has safetensors weights: it loads as it is, nothing is to convert.")
    files = [file for file in repository.files if "/" not in file and file.startswith("pytorch_model")]
    bins = tuple(file for file in files if file.endswith(".bin"))
    if not bins:
        raise ModelError(f"{name} has no pytorch_model.bin: choose a repository with weights of transformers.")
    return bins


def _in_own_process(source: Path, bins: tuple[str, ...], out: Path, name: str) -> str:
    """Run `main` below with an empty environment; returns how the process was confined."""
    with tempfile.TemporaryDirectory() as empty_home:
        environment = {"PATH": os.defpath, "HOME": empty_home, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-I", "-m", "cwpo.models.convert", str(source), str(out), *bins]
        try:
            done = subprocess.run(
                command, env=environment, cwd=empty_home, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"Converting {name} took longer than {TIMEOUT:.0f} seconds and was stopped.") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
        raise ModelError(f"The weights of {name} were not converted: {reason}")
    return str(json.loads(done.stdout)["confinement"])


def _copy_rest(source: Path, out: Path) -> None:
    """Config and tokenizer beside the new weights."""
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith("pytorch_model"):
            shutil.copyfile(file, out / file.name)


def main(arguments: list[str]) -> None:
    """The confined process: read each .bin, write each .safetensors, print how it was confined."""
    source, out, bins = Path(arguments[0]), Path(arguments[1]), arguments[2:]
    from safetensors.torch import save_file

    confinement = _leave_network()
    index: dict[str, str] = {}
    for number, file in enumerate(sorted(bins), start=1):
        tensors = _read_bin(source / file)
        single = len(bins) == 1
        name = "model.safetensors" if single else f"model-{number:05d}-of-{len(bins):05d}.safetensors"
        save_file(tensors, out / name, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, name)
    if len(bins) > 1:
        (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    sys.stdout.write(json.dumps({"confinement": confinement}))


def _read_bin(path: Path) -> dict[str, Any]:
    """The tensors of one .bin file; anything else in it is refused. Shared storage is written out per name."""
    import pickle
    import zipfile

    import torch

    modern = zipfile.is_zipfile(path)  # the format since torch 1.6; only it can be read piece by piece
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=modern)
    except pickle.UnpicklingError:
        sys.exit(f"{path.name} holds more than tensors and could run code; it is refused. Choose another revision.")
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        sys.exit(f"{path.name} is damaged or of an old format ({str(error).splitlines()[0][:150]}).")
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        sys.exit(f"{path.name} is not a table of tensors; it is refused. Choose another revision.")
    return {str(name): value.clone().contiguous() for name, value in state.items()}


def _leave_network() -> str:
    """Refuse every socket from here on, and enter a network namespace without interfaces where that is allowed."""

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")):
            raise PermissionError(f"{event} is not allowed while weights are converted")

    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    isolated = sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).unshare(flags) == 0
    import torch  # noqa: F401 - its import may start processes; afterwards nothing may

    sys.addaudithook(refuse)
    return "no sockets, own network namespace" if isolated else "no sockets"


if __name__ == "__main__":
    main(sys.argv[1:])
