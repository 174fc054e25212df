"""`cwpo convert`: the one place that reads .bin weights and GGUF files, once, and keeps a safetensors copy.

A .bin is read by `torch.load(weights_only=True)`, a GGUF file by transformers, which undoes its quantization: both in a
process of its own that has no token, no sockets and, where the kernel allows it, no network at all. Everything else in
this program reads safetensors.
"""

import ctypes
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cwpo.artifacts import sha256_of
from cwpo.bounds import paths
from cwpo.errors import ModelError
from cwpo.models import hub

TIMEOUT = 3600.0  # seconds for reading and writing all files of one model
GGUF = ".gguf"
ORIGIN = "converted.json"
CARD = """# {name}, dequantized

Float32 weights made from the GGUF file `{name}` (sha256 {digest}), whose tensors are {kinds}. What its quantization
rounded away is gone: this is the quantized model in another form, not the model that it was made from.
"""
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def convert(source: str, *, home: Path, log: Callable[[str], None] = lambda message: None) -> Path:
    """The folder with the safetensors copy of `owner/name@revision`, of a GGUF file in it (`owner/name@revision:file`),
    or of a GGUF file of this machine; made now unless it is there already."""
    if source.endswith(GGUF):
        return _convert_gguf(source, home=home, log=log)
    return _convert_bin(source, home=home, log=log)


def _convert_bin(repo_at_commit: str, *, home: Path, log: Callable[[str], None]) -> Path:
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
    with _built_aside(target) as work:
        log("Reading the weights in a process without token and network.")
        said = _in_own_process(source, bins, work, repo_id)
        _copy_rest(source, work)
        _write_origin(work, {"repo": repo_id, "commit": repository.commit, "files": list(bins), **said})
    log(f"Kept as {target}; {repo_id}@{repository.commit} loads from now on.")
    return target


def _convert_gguf(source: str, *, home: Path, log: Callable[[str], None]) -> Path:
    """A model of floating-point weights out of a quantized one; it says of itself that it is not the original."""
    _check_package()
    file, origin = _gguf_file(source, log)
    target = home / "converted" / f"{file.stem}@{sha256_of(file)[:12]}"
    if target.is_dir():
        log(f"{source} was converted before.")
        return target
    write_dequantized(file, target, origin=origin, log=log)
    log(f"Kept as {target}; name this folder as the model.")
    return target


def write_dequantized(file: Path, target: Path, *, origin: Mapping[str, Any], log: Callable[[str], None]) -> None:
    """The folder `target` out of a GGUF file, whole or not at all; `origin`: what its converted.json says besides."""
    _check_package()
    digest = sha256_of(file)
    with _built_aside(target) as work:
        log(f"Undoing the quantization of {file.name} in a process without token and network.")
        said = _in_own_process(file.parent, (file.name,), work, file.name)
        log(f"It was confined: {said.pop('confinement')}.")  # not kept: the folder is the same on every machine
        _write_origin(work, {**origin, "files": [file.name], "sha256": digest, **said})
        kinds = ", ".join(f"{count} of {kind}" for kind, count in sorted(said["tensors"].items()))
        (work / "README.md").write_text(CARD.format(name=file.name, digest=digest, kinds=kinds))
    log(f"{file.name} was dequantized: its tensors ({kinds}) are float32 now, rounded as before.")


def _check_package() -> None:
    if importlib.util.find_spec("gguf") is None:
        raise ModelError("GGUF files are read with the package gguf: install it with `pip install gguf`.")


def _gguf_file(source: str, log: Callable[[str], None]) -> tuple[Path, dict[str, Any]]:
    """The file on this machine, downloaded if it must be, and where it is from."""
    if hub.is_local(source):
        file = paths.local(source)
        if not paths.is_file(file):
            raise ModelError(f"{source} does not exist: give a GGUF file, or owner/name@commit:file.gguf.")
        return file, {}
    place, _, name = source.partition(":")
    repo_id, _, revision = place.partition("@")
    if not name or not hub.HUB_ID.fullmatch(repo_id):
        raise ModelError(f"{source} is neither a file nor of the form owner/name@commit:file.gguf.")
    repository = hub.describe("model", repo_id, revision or None)
    if name not in repository.files:
        raise ModelError(f"{repo_id}@{repository.commit[:12]} has no file {name}: look its name up on the hub.")
    log(f"Downloading {name} of {repo_id}@{repository.commit}.")
    folder = hub.download(repo_id, repository.commit, patterns=hub.exactly([name]), kind="model")
    return folder / name, {"repo": repo_id, "commit": repository.commit}


@contextmanager
def _built_aside(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its name when the block ends well."""
    work = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    work.mkdir(parents=True)
    try:
        yield work
        os.rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    (folder / ORIGIN).write_text(json.dumps(dict(origin), sort_keys=True))


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


def _in_own_process(source: Path, bins: tuple[str, ...], out: Path, name: str) -> dict[str, Any]:
    """Run `main` below with an empty environment; what it says, and in it how it was confined."""
    with tempfile.TemporaryDirectory() as empty_home:
        environment = {"PATH": os.defpath, "HOME": empty_home, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        environment["HF_HUB_OFFLINE"] = "1"
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
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _copy_rest(source: Path, out: Path) -> None:
    """Config and tokenizer beside the new weights."""
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith("pytorch_model"):
            shutil.copyfile(file, out / file.name)


def main(arguments: list[str]) -> None:
    """The confined process: read the weights, write safetensors, print what is to be known of it as its last line."""
    source, out, files = Path(arguments[0]), Path(arguments[1]), arguments[2:]
    said = _dequantize(source, files[0], out) if files[0].endswith(GGUF) else _rewrite(source, files, out)
    sys.stdout.write("\n" + json.dumps(said))


def _rewrite(source: Path, bins: list[str], out: Path) -> dict[str, Any]:
    """Read each .bin, write each .safetensors."""
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
    return {"confinement": confinement}


def _dequantize(source: Path, name: str, out: Path) -> dict[str, Any]:
    """Model and tokenizer of a GGUF file as transformers reads them, in float32; the types that its tensors had."""
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    confinement = _leave_network()
    try:
        tensors = Counter(tensor.tensor_type.name for tensor in gguf.GGUFReader(source / name).tensors)
        options: dict[str, Any] = {"gguf_file": name, "local_files_only": True, "trust_remote_code": False}
        auto: Any = AutoModelForCausalLM
        model, info = auto.from_pretrained(
            source,
            dtype=torch.float32,
            output_loading_info=True,
            quantization_config=GgufConfig(dequantize=True),
            **options,
        )
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except (ValueError, KeyError, OSError, IndexError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        sys.exit(f"{name} is damaged, or of a family or quantization that transformers does not read ({reason}).")
    missing = sorted(set(info["missing_keys"]) - set(getattr(model, "all_tied_weights_keys", ())))
    if missing:
        sys.exit(f"{name} lacks the weight {missing[0]}; it would stay random. Choose another file.")
    model.hf_quantizer = None  # its weights are plain now, and saved as such
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"confinement": confinement, "tensors": dict(tensors), "dequantized_to": "float32"}


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
