"""Cards are found by the numbers that nvidia-smi gives them, whatever else its list holds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.machine import devices

Listing = Callable[[str, str], None]
MIXED = "GPU 0: Tesla T4 (UUID: GPU-1f)\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2e)\n"
MIG = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1f)
  MIG 3g.20gb     Device  0: (UUID: MIG-aa)
  MIG 3g.20gb     Device  1: (UUID: MIG-bb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-2e)
GPU 3: NVIDIA A100-SXM4-40GB (UUID: GPU-3d)
"""
NEW_LINES = "Unable to determine the device handle for GPU 2: GPU is lost\n"


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listing]:
    """A machine whose nvidia-smi lists these cards, and says this of their memory."""

    def put(cards: str, memory: str) -> None:
        (tmp_path / "cards").write_text(cards)
        (tmp_path / "memory").write_text(memory)
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\nif [ "$1" = -L ]; then cat {tmp_path}/cards; else cat {tmp_path}/memory; fi\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        devices.visible_gpus.cache_clear()

    yield put
    monkeypatch.undo()
    devices.visible_gpus.cache_clear()


def test_each_of_different_cards_has_its_own_memory(listing: Listing) -> None:
    listing(MIXED, "0, GPU-1f, 15360, 15000\n1, GPU-2e, 81559, 81000\n")
    assert devices.visible_gpus() == ("0", "1")
    assert {name: one.total // 2**20 for name, one in devices.card_memory().items()} == {"0": 15360, "1": 81559}


def test_parts_of_a_card_are_no_cards_and_a_lost_one_leaves_a_gap(listing: Listing) -> None:
    listing(NEW_LINES + MIG, "0, GPU-1f, 40960, 1\n1, GPU-2e, 40960, 2\n3, GPU-3d, 40960, 3\n")
    assert devices.visible_gpus() == ("0", "1", "3")
    assert {name: one.free // 2**20 for name, one in devices.card_memory().items()} == {"0": 1, "1": 2, "3": 3}
