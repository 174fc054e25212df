"""Limits of tests: a machine that stands still or computes slowly breaks none, a program that does breaks them."""

import time

import pytest

from tests import clocks


def test_a_stop_of_the_machine_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour in which nobody looked at the clock counts as a moment; seconds in which somebody did count in full."""
    running = clocks._Running()
    real, stopped = time.monotonic, [0.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: real() + stopped[0])
    before = running.now()
    stopped[0] = 3600.0
    assert running.now() - before <= 2 * clocks.AWAKE
    before, began = running.now(), real()
    time.sleep(1.0)
    assert clocks.AWAKE <= running.now() - before <= real() - began + 0.01


def test_what_computes_for_too_long_is_found_however_slow_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(seconds: float) -> None:
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass

    monkeypatch.setattr(clocks, "_measured", None)
    monkeypatch.setattr(clocks, "slowness", lambda: 1.0)
    with clocks.computing(0.2):
        time.sleep(0.5)
    with (
        pytest.raises(AssertionError, match=r"computed for 0\.[3-9].* s, where 0\.20 s are the most"),
        clocks.computing(0.2),
    ):
        work(0.3)
    monkeypatch.setattr(clocks, "slowness", lambda: 10.0)
    with clocks.computing(0.2):
        work(0.3)


def test_what_is_done_in_time_needs_no_look_at_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look before serves for a while, and one after is needed only by what is late: then it is a new one."""
    looks: list[float] = []
    monkeypatch.setattr(clocks, "_measured", None)
    monkeypatch.setattr(clocks, "slowness", lambda: looks.append(1.0) or 1.0)
    monkeypatch.setattr(clocks, "FRESH", 3600.0)
    for _ in range(9):
        with clocks.computing(5.0):
            pass
    assert len(looks) == 1
    with pytest.raises(AssertionError, match="computed for"), clocks.computing(0.0):
        pass
    assert len(looks) == 2
    monkeypatch.setattr(clocks, "FRESH", -1.0)
    with clocks.computing(5.0):
        pass
    assert len(looks) == 3


def test_what_waits_for_too_long_is_found_and_its_own_error_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("slowness", "contention"):
        monkeypatch.setattr(clocks, name, lambda: 1.0)
    with clocks.lasting(30.0):
        time.sleep(0.1)
    with pytest.raises(AssertionError, match=r"took .* s, where 0\.1 s are the most"), clocks.lasting(0.1):
        time.sleep(1.0)
    with pytest.raises(ZeroDivisionError), clocks.lasting(0.0):
        _ = 1 / 0


def test_a_machine_is_measured_as_it_is_now() -> None:
    assert 1.0 <= clocks.slowness() < 100
    assert 1.0 <= clocks.contention() < 100
