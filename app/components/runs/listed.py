"""From a page of the database's lines to the lines of the grid: settings, runs, or the values of a field."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.components.frame.address import RunsView
from app.components.frame.formats import counted
from app.components.frame.layout import span
from app.components.runs import columns
from app.components.runs import table as runs_table
from app.components.runs.columns import GRA, KL, Column
from app.components.runs.table import Line
from app.reads import results
from app.reads import runs as reads
from cwpo.compare.configured_run import Configs
from db.records import RunFilters, RunGroup, RunRow
from db.records.listing import EACH_RUN, LinePage

VALUE_RUNS = 150  # px for how many runs of how many settings have a value


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the page shows: its lines under its columns, and what stands around them."""

    lines: list[Line]
    columns: list[Column]
    groups: list[RunGroup]  # the runs that are read whole, by setting
    configs: Configs
    page: LinePage
    headline: str
    place: str  # of the page in the list
    note: str  # on what terms the GRAs were counted, and what their intervals cover

    @property
    def waiting(self) -> list[int]:
        """The runs in sight that wait or run, and ask for cards that somebody must have."""
        rows = [row for group in self.groups for row in group.rows]
        return [row.id for row in rows if row.status in runs_table.LIVE and row.asks_for_cards]


def read(view: RunsView) -> Shown:
    """The page of the list that the address names."""
    listing = replace(columns.listing_of(view.sort, view.group), filters=_filters(view))
    shown = columns.chosen(view.group, view.columns)
    keys = [one.order for one in shown if one.key not in columns.BUILT_IN]
    by_value = columns.is_by_value(view.group)
    page = reads.page_of(listing, view.after, view.before, [*keys, GRA, KL] if by_value else keys)
    if by_value:
        lines, groups, configs = _by_value(page, view, keys)
    elif listing.grouping == EACH_RUN:
        lines, groups, configs = _by_run(page)
    else:
        lines, groups, configs = _by_setting(page, view, keys)
    if by_value:
        lines, shown = _named_by(columns.name_of(listing.grouping), lines, shown)
    said: list[str] = []
    if not view.columns:
        shown, said = runs_table.without_shared(lines, shown)
    noun = "value" if by_value else "run" if listing.grouping == EACH_RUN else "setting"
    headline = " · ".join((*counts(page, noun), *said))
    place = span(page.first, len(page.lines), counted(page.total, noun))
    note = runs_table.OF_VALUES if by_value else runs_table.caption(groups, configs)
    return Shown(
        lines=lines, columns=shown, groups=groups, configs=configs, page=page, headline=headline, place=place, note=note
    )


def counts(page: LinePage, noun: str) -> list[str]:
    """3 settings · 12 runs; runs and settings are both said where they differ."""
    found = [counted(page.total, noun)]
    if page.runs != page.total:
        found.append(counted(page.runs, "run"))
    if page.settings is not None and page.settings != page.total:
        found.append(counted(page.settings, "setting"))
    return found


def _named_by(name: str, lines: list[Line], shown: list[Column]) -> tuple[list[Line], list[Column]]:
    """The first column is called as the field whose values it has, but for the name of the column of buttons."""
    name = "value" if name == columns.OPEN else name
    first = replace(shown[0], label=name, help=f"The values of {name}.")
    wider = [replace(one, width=VALUE_RUNS) if one.key == "runs" else one for one in shown[1:] if one.label != name]
    return [replace(line, cells={**line.cells, name: line.cells["setting"]}) for line in lines], [first, *wider]


def _filters(view: RunsView) -> RunFilters:
    return RunFilters(
        status=view.status,
        method=view.method,
        objective=view.objective,
        dataset=(view.dataset,) if view.dataset else (),
        text=view.q,
        tags=view.tags,
        pinned=view.pinned,
        archived=view.archived,
    )


def _by_setting(page: LinePage, view: RunsView, keys: Sequence[str]) -> tuple[list[Line], list[RunGroup], Configs]:
    groups = [RunGroup(group_key=line.key, rows=line.rows) for line in page.lines if line.rows]
    configs = _configs(groups)
    figures = {line.key: line.figures for line in page.lines}
    opened = [group for group in groups if group.group_key[:12] in view.open]
    if opened and keys:
        ids = [run_id for group in opened for run_id in group.run_ids]
        figures |= reads.runs_below(ids, keys, archived=view.archived)[1]
    return runs_table.lines(groups, results.results_of(groups), view.open, configs, figures), groups, configs


def _by_run(page: LinePage) -> tuple[list[Line], list[RunGroup], Configs]:
    rows = [row for line in page.lines for row in line.rows]
    groups = _groups(rows)
    configs = _configs(groups)
    figures = {line.key: line.figures for line in page.lines}
    return runs_table.run_lines(rows, configs, figures), groups, configs


def _by_value(page: LinePage, view: RunsView, keys: Sequence[str]) -> tuple[list[Line], list[RunGroup], Configs]:
    opened = {
        key: line.run_ids[: runs_table.MOST_SHOWN]
        for line in page.lines
        if (key := runs_table.value_key(line.key)) in view.open
    }
    ids = [run_id for run_ids in opened.values() for run_id in run_ids]
    found, figures = reads.runs_below(ids, keys, archived=view.archived)
    rows = {key: [found[run_id] for run_id in run_ids if run_id in found] for key, run_ids in opened.items()}
    groups = _groups(list(found.values()))
    return runs_table.value_lines(page.lines, rows, figures), groups, _configs(groups)


def _groups(rows: Sequence[RunRow]) -> list[RunGroup]:
    by_key: dict[str, list[RunRow]] = {}
    for row in rows:
        by_key.setdefault(row.group_key, []).append(row)
    return [RunGroup(group_key=key, rows=tuple(its)) for key, its in by_key.items()]


def _configs(groups: Sequence[RunGroup]) -> Configs:
    """One configuration of each setting, which says all that its seeds share; that of every run of it."""
    first = results.configs_of([group.rows[0] for group in groups]) if groups else {}
    return {row.id: first[group.rows[0].id] for group in groups for row in group.rows if group.rows[0].id in first}
