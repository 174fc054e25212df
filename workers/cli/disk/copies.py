"""`cwpo backup` and `cwpo restore` in words."""

from pathlib import Path

from cwpo.config.environment import settings
from cwpo.report.numbers import size
from workers.machine.disk import backup as writing
from workers.machine.disk import restore as reading
from workers.machine.paths import home


def back_up(file: Path, *, models: bool) -> int:
    """Write it, and say what is in it and what is not."""
    done = writing.write(file, models=models)
    _noted("backup", file)
    print(f"{done.rows:,} rows, {done.artifacts:,} artifacts, {size(done.bytes)}: {file}")
    if done.left_out:
        short = ", ".join(one[:12] for one in done.left_out[:5])
        print(f"Left out, damaged or deleted meanwhile: {len(done.left_out):,} artifacts ({short}).")
    if done.elsewhere:
        print(f"Left out: {done.elsewhere:,} artifacts that lie in {settings.store_url} alone.")
    return 0


def restore(file: Path, *, check: bool) -> int:
    """Bring it back, or only compare its checksums."""
    done = reading.check(file) if check else reading.restore(file)
    what = f"{done.rows:,} rows and {done.artifacts:,} artifacts of {done.made_at[:16].replace('T', ' ')} UTC"
    if check:
        print(f"Whole: {what}; nothing was written.")
    else:
        _noted("restore", file)
        print(f"Restored into {home()}: {what}. Stages that were being computed go on when workers start.")
    return 0


def _noted(kind: str, file: Path) -> None:
    from workers.api.exports import handed_out

    handed_out(kind, str(file))
