"""Whom the kernel ended for memory: ours and now, not others and not long before; on counts made for the test."""

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from cwpo.parallel import killed
from cwpo.parallel.killed import Cause, RecentKills, cause_of

OTHERS = "low 0\nhigh 3\nmax 9\noom 7\noom_kill {}\noom_group_kill 0\n"


@dataclass
class Machine:
    """The kernel's files below a folder, and a clock."""

    root: Path
    now: float = 1000.0

    def machine_counts(self, number: int) -> None:
        (self.root / "vmstat").write_text(f"nr_free_pages 7\noom_kill {number}\n")

    def group_counts(self, group: str, number: int, form: str = OTHERS) -> None:
        path = self.root / "cgroup" / group
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(form.format(number))

    def is_in(self, lines: str) -> None:
        (self.root / "own").write_text(lines)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setattr(killed, "_MACHINE", tmp_path / "vmstat")
    monkeypatch.setattr(killed, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(killed, "_OWN", tmp_path / "own")
    monkeypatch.setattr(killed.time, "monotonic", lambda: found.now)
    found.machine_counts(5)
    return found


@pytest.mark.parametrize(
    ("own", "mine", "above"),
    [
        ("0::/work/ours\n", "work/ours/memory.events", "work/memory.events"),
        ("4:memory:/ours\n3:cpu:/else\n0::/\n", "memory/ours/memory.oom_control", "memory/memory.oom_control"),
        ("4:memory:/docker/1234\n", "memory/memory.oom_control", "memory.events"),  # a container
    ],
)
def test_a_kill_elsewhere_on_the_machine_is_not_ours_where_our_group_counts(
    machine: Machine, own: str, mine: str, above: str
) -> None:
    machine.is_in(own)
    machine.group_counts(mine, 2)
    machine.group_counts(above, 8)
    kills = RecentKills()
    machine.machine_counts(6)
    machine.group_counts(above, 9)
    assert cause_of(signal.SIGKILL, before=kills.before) is Cause.OUTSIDE
    machine.group_counts(mine, 3)
    assert cause_of(signal.SIGKILL, before=kills.before) is Cause.MEMORY
    assert cause_of(signal.SIGTERM, before=kills.before) is Cause.ITSELF


@pytest.mark.parametrize("grouped", [True, False])
def test_only_a_kill_of_the_last_seconds_is_ours(machine: Machine, grouped: bool) -> None:
    """The kernel counts, then kills: a count just read again must not hide the kill that it shows."""
    machine.is_in("0::/\n")

    def ended(number: int) -> None:
        machine.group_counts("memory.events", number) if grouped else machine.machine_counts(number)

    ended(5)
    kills = RecentKills()
    ended(6)  # another process, days before
    for _ in range(3):
        machine.now += killed.WITHIN
        kills.look()
    assert cause_of(signal.SIGKILL, before=kills.before) is Cause.OUTSIDE
    ended(7)  # ours, which takes some seconds to end
    machine.now += killed.WITHIN
    kills.look()
    kills.look()
    assert cause_of(signal.SIGKILL, before=kills.before) is Cause.MEMORY


def test_where_nobody_counts_nothing_is_said(machine: Machine) -> None:
    machine.is_in("0::/\n")
    kills = RecentKills()
    (machine.root / "vmstat").write_text("nr_free_pages 7\n")
    assert RecentKills().before is None
    assert cause_of(signal.SIGKILL, before=None) is Cause.ITSELF
    assert cause_of(signal.SIGKILL, before=kills.before) is Cause.ITSELF
