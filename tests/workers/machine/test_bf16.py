"""`precision: auto` is bf16 where every card computes in it, as nvidia-smi says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from workers.cli.compute import bf16_wanted
from workers.machine import devices

Cards = Callable[..., None]


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cards:
    """A machine whose nvidia-smi lists cards of these compute capabilities; none: it knows no such question."""

    def put(*capabilities: str, known: bool = True) -> None:
        program = tmp_path / "nvidia-smi"
        listed = "\n".join(f"GPU {at}: some card" for at in range(len(capabilities)))
        said = "\n".join(capabilities) if known else "[N/A]"
        program.write_text(f"#!/bin/sh\nif [ \"$1\" = -L ]; then echo '{listed}'; else echo '{said}'; fi\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        forget()

    def forget() -> None:
        devices.visible_gpus.cache_clear()
        devices.compute_capability.cache_clear()

    yield put
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [(("8.0",), True), (("9.0", "8.6"), True), (("7.0",), False), (("7.5",), False), (("9.0", "7.0"), False)],
    ids=["A100", "H100 and A10", "V100", "T4", "mixed"],
)
def test_bf16_begins_with_compute_capability_8(cards: Cards, capabilities: tuple[str, ...], has: bool) -> None:
    cards(*capabilities)
    assert devices.has_bf16() is has
    assert bf16_wanted("auto") is has
    assert bf16_wanted("cuda:0") is has
    assert not bf16_wanted("cpu")


def test_a_card_of_which_nothing_is_known_is_taken_to_have_it(cards: Cards) -> None:
    cards("8.0", known=False)
    assert devices.compute_capability() is None
    assert devices.has_bf16()


def test_a_machine_without_cards_computes_in_float32(cards: Cards) -> None:
    cards()
    assert not devices.has_bf16()
    assert not bf16_wanted("auto")
