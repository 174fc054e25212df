"""`cwpo gc`: what nobody needs, by kind; deleted only when it is asked for."""

from cwpo.errors import ConfigError
from cwpo.report.numbers import size
from workers.cli.console import make_console
from workers.machine.disk import leftovers
from workers.machine.paths import home


def main(*, delete: bool, days: int | None, unnamed: bool) -> int:
    """Print the table; delete what may go, if `delete` says so."""
    from rich import box
    from rich.table import Table

    if days is not None and days < 0:
        raise ConfigError("--days", f"must be 0 or more, not {days}.")
    found = leftovers.find(days=days)
    table = Table("kind", "what", box=box.SIMPLE)
    for heading in ("not written for", "to delete", "size", "in use or young", "size"):
        table.add_column(heading, justify="right")
    for one in leftovers.sums(found):
        age = leftovers.days_of(one.kind) if days is None else days
        table.add_row(
            one.kind, leftovers.MEANINGS[one.kind], f"{age} d", f"{one.number:,}", size(one.bytes), f"{one.held:,}",
            size(one.held_bytes),
        )  # fmt: skip
    screen = make_console()
    if found:
        screen.print(table, highlight=False)
    for sentence in _end(found, delete=delete, unnamed=unnamed):
        screen.print(sentence, highlight=False, soft_wrap=True, markup=False)
    return 0


def _end(found: list[leftovers.Leftover], *, delete: bool, unnamed: bool) -> list[str]:
    """What was done, or what would do it."""
    chosen = [one for one in found if unnamed or one.kind != leftovers.UNNAMED]
    left = [one for one in found if one.kind == leftovers.UNNAMED and not one.held and not unnamed]
    more = f"{len(left):,} unnamed artifacts ({size(sum(one.bytes for one in left))}) go only with --unnamed."
    going = [one for one in chosen if not one.held]
    if not going:
        return [f"Nothing under {home()} may go now.", *([more] if left else [])]
    if not delete:
        would = f"Nothing was deleted: `cwpo gc --delete` deletes {len(going):,} folders and frees "
        return [f"{would}{size(sum(one.bytes for one in going))}.", *([more] if left else [])]
    from workers.api import disk

    gone = disk.delete(going, unnamed=unnamed)
    said = f"Deleted {len(gone):,} folders, {size(sum(one.bytes for one in gone))}."
    kept = len(going) - len(gone)
    return [said + (f" {kept:,} are in use since, or could not be deleted." if kept else ""), *([more] if left else [])]
