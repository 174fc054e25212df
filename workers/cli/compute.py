"""How a command that computes in its own process chooses device and threads. Imports torch when it is called."""

import argparse
import os
from collections.abc import Callable

from cwpo.config.environment import number_cards_as_listed, settings
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError
from cwpo.stages.execute import Compute
from cwpo.stages.graph import StageSpec
from workers.machine.devices import has_bf16, visible_gpus

DEVICE_HELP = "cpu, cuda:0 or auto (default)"


def bf16_wanted(device: str) -> bool:
    """Whether a run with this --device computes on a GPU that has bf16, which decides `precision: auto`."""
    return device != "cpu" and has_bf16()


def compute_for(config: RunConfig, device: str) -> Callable[[StageSpec], Compute | None]:
    """How `cwpo run` computes each stage: by one rank per card where the run asks for several and they are here; where
    memory runs out, once more with less."""
    from cwpo.models.sizes.again import once_smaller
    from cwpo.models.sizes.disk import in_room
    from cwpo.parallel.launch import compute_on

    if device == "cpu":
        places = ("",) * (settings.cpu_ranks or 1)
    else:
        wanted = config.execution.gpus
        cards = visible_gpus()
        places = cards if wanted == "auto" else cards[: int(wanted)]

    def compute(spec: StageSpec) -> Compute:
        in_ranks = compute_on(places, spec.settings)
        return once_smaller(in_room(in_ranks), cards=max(1, sum(map(bool, places))) if in_ranks else 1)

    return compute


def prepare(device: str, threads: int | None, *, default_threads: int | None = None, gpu: bool = True) -> str:
    """Set the number of threads; the device that `--device` names, which has to be here.

    `auto` is the first GPU, or the CPU where there is none or `gpu` is False.
    """
    number_cards_as_listed()
    import torch

    torch.set_num_threads(max(1, threads or default_threads or os.cpu_count() or 1))
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device == "auto":
        return known[1] if gpu and len(known) > 1 else "cpu"
    if device not in known:
        raise ConfigError("--device", f"{device!r} is not on this machine; choose one of auto, {', '.join(known)}.")
    return device


def prepare_for(options: argparse.Namespace, config: RunConfig) -> str:
    """The device that a run is computed on, as its options and its configuration say; threads are set."""
    return prepare(
        options.device, options.threads, default_threads=1 if config.is_sandbox else None,
        gpu=config.execution.device != "cpu",
    )  # fmt: skip
