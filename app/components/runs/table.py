"""The table of runs: one line per setting over its seeds, per run, or per value of a field; lines of several runs are
opened to them in place. Pure; the page draws."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from app import untrusted
from app.charts.frame import Look, in_words
from app.components.frame.export import Exported
from app.components.frame.formats import ago, by_ends, counted, dataset_name, models, share
from app.components.runs import columns
from app.components.runs.columns import GRA, KL, Column
from cwpo.compare.configured_run import Configs, by_setting
from cwpo.compare.in_list import SettingResult
from cwpo.compare.setting_names import told_apart
from cwpo.config.catalog import objective_label
from cwpo.report.gra_terms import terms
from cwpo.report.listings import run_numbers
from cwpo.report.numbers import NOTHING, interval, number
from cwpo.report.tables import Table
from cwpo.statistics import intervals
from db.records import RunGroup, RunRow
from db.records.listing import Figure
from db.records.listing import Line as ListLine

ONE_SEED = "1 seed"
LIVE = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: a setting, or one of its seeds."""

    key: str  # start of a group key, or run:12
    run_ids: tuple[int, ...]
    method: str
    is_seed: bool
    button: str  # what opening it does
    cells: Mapping[str, str]


OPEN = columns.OPEN
OPEN_WIDTH = 52
OPEN_RUN, SHOW_SEEDS, HIDE_SEEDS = "Open", "Seeds", "Hide"
SHOW_RUNS, HIDE_RUNS = "Runs", "Hide"
STATUSES = ("running", "queued", "failed", "cancelled", "done")


Figures = Mapping[str, Mapping[str, Figure]]  # by line, by field or figure
USUAL = columns.chosen("", ())
MOST_SHOWN = 50  # runs of an opened line


def lines(
    groups: Sequence[RunGroup],
    results: Mapping[str, SettingResult],
    opened: Sequence[str],
    configs: Configs,
    figures: Figures | None = None,
) -> list[Line]:
    """Settings in the order given; an opened one is followed by its seeds."""
    table = []
    names, known = _names(groups, configs), figures or {}
    for group in groups:
        line = _group_line(group, results.get(group.group_key), opened=group.group_key[:12] in opened)
        line = _with(line, untrusted.plain(names[group.group_key], 80), known.get(group.group_key, {}))
        table.append(line)
        if group.group_key[:12] in opened:
            table.extend(_with(_seed_line(row), "", known.get(str(row.id), {})) for row in group.rows)
    return table


def run_lines(rows: Sequence[RunRow], configs: Configs, figures: Figures) -> list[Line]:
    """One line per run, named as its setting and by its seed."""
    settings = {row.group_key: RunGroup(group_key=row.group_key, rows=(row,)) for row in rows}
    names = _names(list(settings.values()), configs)
    return [
        replace(
            _with(
                _seed_line(row),
                untrusted.plain(f"{names[row.group_key]} · seed {row.seed}", 80),
                figures.get(str(row.id), {}),
            ),
            is_seed=False,
        )
        for row in rows
    ]


def value_lines(found: Sequence[ListLine], rows: Mapping[str, Sequence[RunRow]], figures: Figures) -> list[Line]:
    """One line per value of a field; `rows`: the runs of those that are open, newest first."""
    table = []
    for one in found:
        key = value_key(one.key)
        line = _value_line(one, key, opened=key in rows)
        table.append(_with(line, line.cells["setting"], one.figures))
        for row in rows.get(key, ())[:MOST_SHOWN]:
            named = f"      {row.id} · {setting_name(row)} · seed {row.seed}"
            table.append(_with(_seed_line(row), untrusted.plain(named, 80), figures.get(str(row.id), {})))
    return table


def without_shared(table: Sequence[Line], shown: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """The columns but those that say the same in every line, and what these say; none in which nothing stands."""
    said = {
        one.key: {line.cells.get(one.label, NOTHING) for line in table} for one in shown if one.key in columns.SHARED
    }
    same = {key for key, words in said.items() if len(words) == 1}
    blank = {one.key for one in shown if not any(line.cells.get(one.label) for line in table)}
    kept = [one for one in shown if one.key not in same | blank]
    return kept, [next(iter(said[key])) for key in said if key in same]


def value_key(value: str) -> str:
    """A line's name in the address, whatever characters its value has."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]


def frame(table: Sequence[Line], shown: Sequence[Column] = USUAL) -> pd.DataFrame:
    """What the grid shows; every cell is text that is ready to be read."""
    rows = [[line.button, *(line.cells.get(one.label, NOTHING) for one in shown)] for line in table]
    return pd.DataFrame(rows, columns=[OPEN, *(one.label for one in shown)])


def export(
    groups: Sequence[RunGroup], table: Sequence[Line], configs: Configs, shown: Sequence[Column] = USUAL
) -> Exported:
    """The lines as they are shown; their runs one by one where numbers are wanted."""
    rows = [row for group in groups for row in group.rows]
    return Exported(
        name="Runs",
        numbers=lambda: run_numbers(rows, {row.id: terms([row], configs) for row in evaluated(groups)}),
        cells=lambda: _shown(table, caption(groups, configs), shown),
    )


def evaluated(groups: Sequence[RunGroup]) -> list[RunRow]:
    """The runs that have a result."""
    return [row for group in groups for row in group.rows if row.evaluation is not None]


OF_VALUES = (
    "GRA and KL: means over the runs of a line, whatever their settings, with the t interval of that mean. Group by "
    "setting for intervals over seeds × prompts."
)


def caption(groups: Sequence[RunGroup], configs: Configs) -> str:
    """On what terms the GRAs of the list were counted, and what their intervals cover."""
    rows = evaluated(groups)
    counts = {counted(row.evaluation.prompts, "prompt") for row in rows if row.evaluation is not None}
    words = ["(wins + ½ ties) / prompts against the baseline's answers"]
    if rows:
        words = [counts.pop() if len(counts) == 1 else "several prompt sets", *terms(rows, configs).words]
    covers = "95 % interval over seeds × prompts, or over prompts alone where there is one seed."
    return f"GRA: {' · '.join(words)}. {covers}"


def inks(table: Sequence[Line], look: Look, shown: Sequence[Column] = USUAL) -> pd.DataFrame:
    """Colour carries the method; seeds and what is not the answer are muted."""
    rows = []
    for line in table:
        muted = f"color: {look.muted}"
        row = dict.fromkeys((one.label for one in shown), muted)
        row[shown[0].label] = muted if line.is_seed else f"color: {_ink(look, line)}; font-weight: 600"
        row["GRA, %"] = muted if line.is_seed else f"color: {look.ink}"
        row["status"] = f"color: {look.ink}" if line.cells["status"].startswith(("running", "failed")) else muted
        rows.append(row)
    return pd.DataFrame(rows, columns=[OPEN, *(one.label for one in shown)]).fillna("")


def status_of(rows: Sequence[RunRow]) -> str:
    """One word where all agree; else what is done and what is going on."""
    counts = {
        name: sum(row.status == name for row in rows) for name in ("running", "queued", "failed", "cancelled", "done")
    }
    if len(rows) == 1:
        return _one_status(rows[0])
    if counts["done"] == len(rows):
        return "done"
    if counts["running"] and not counts["failed"] + counts["cancelled"]:
        return f"running {counts['running']} of {len(rows)}"
    present = [f"{number} {name}" for name, number in counts.items() if number]
    if counts["running"]:
        present[0] = f"running {counts['running']}"
    return f"{counts['done']} of {len(rows)} done" if counts["running"] + counts["queued"] == 0 else ", ".join(present)


def setting_name(row: RunRow) -> str:
    """CW · DPO."""
    return f"{row.method_label} · {objective_label(row.objective)}"


def _names(groups: Sequence[RunGroup], configs: Configs) -> dict[str, str]:
    """Settings of one method and objective say besides what they differ in."""
    names = {group.group_key: setting_name(group.rows[0]) for group in groups}
    for name in dict.fromkeys(names.values()):
        same = [group for group in groups if names[group.group_key] == name]
        known = [configs.get(group.rows[0].id) for group in same]
        betas = [f"β {config.align.beta:g}" if config else "" for config in known]
        for group, word, beta in zip(same, told_apart(known), betas, strict=True):
            more = (beta if len(set(betas)) > 1 else "", word)
            names[group.group_key] = " · ".join(filter(None, (name, *more)))
    return names


def first_seeds(rows: Sequence[RunRow]) -> list[RunRow]:
    """One run per setting, in the order given: the first of each."""
    return [group[0] for group in by_setting(rows).values()]


def _ink(look: Look, line: Line) -> str:
    return in_words(look.name, line.method) if line.method else look.ink


def _with(line: Line, setting: str, figures: Mapping[str, Figure]) -> Line:
    """The line under its name, with the fields and figures that were asked for."""
    more = {columns.column(key).label: columns.cell(key, figure) for key, figure in figures.items()}
    named = {"setting": setting} if setting else {}
    return replace(line, cells={**more, **line.cells, **named})


def _shown(table: Sequence[Line], note: str, shown: Sequence[Column]) -> Table:
    cells = tuple(tuple(line.cells.get(one.label, NOTHING).lstrip() for one in shown) for line in table)
    return Table(columns=tuple(one.label for one in shown), rows=cells, notes=(note,))


def _value_line(one: ListLine, key: str, *, opened: bool) -> Line:
    """A field's value: means over all runs that have it, with the t interval of the mean."""
    gra, kl = one.figures.get(GRA), one.figures.get(KL)
    low, high = intervals.of_mean(gra.mean, gra.sd, gra.numbers) if gra else (None, None)
    runs = counted(len(one.run_ids), "run")
    cells = {
        "setting": NOTHING if one.value is None else untrusted.plain(one.value, 60),
        "status": _counted_status(one.statuses),
        "GRA, %": f"{100 * gra.mean:.1f}" if gra and gra.mean is not None else NOTHING,
        "95 %": interval(low, high),
        "seeds": f"{len(one.seeds)} ({by_ends(one.seeds)})" if len(one.seeds) < 20 else str(len(one.seeds)),
        "KL": number(kl.mean if kl else None),
        "runs": runs if one.settings < 2 else f"{runs}, {counted(one.settings, 'setting')}",
        "tags": _joined(one.marks),
    }
    button = HIDE_RUNS if opened else SHOW_RUNS
    return Line(key=key, run_ids=one.run_ids, method="", is_seed=False, button=button, cells=cells)


def _counted_status(counts: Mapping[str, int]) -> str:
    present = [f"{counts[name]:,} {name}" for name in STATUSES if counts.get(name)]
    return "done" if set(counts) == {"done"} else ", ".join(present)


def _group_line(group: RunGroup, result: SettingResult | None, *, opened: bool) -> Line:
    first = group.rows[0]
    button = OPEN_RUN if len(group.rows) == 1 else (HIDE_SEEDS if opened else SHOW_SEEDS)
    name = next((row.name for row in group.rows if row.name), "")
    cells = _common(first) | {
        "setting": setting_name(first),
        "status": status_of(group.rows),
        "GRA, %": f"{100 * result.estimate:.1f}" if result else "–",
        "95 %": interval(result.low, result.high) if result else "–",
        "seeds": ONE_SEED if len(group.seeds) == 1 else f"{len(group.seeds)} ({by_ends(group.seeds)})",
        "KL": number(result.kl if result else None),
        "updated": ago(max((row.finished_at or row.started_at or row.created_at) for row in group.rows)),
        "runs": untrusted.plain(by_ends(group.run_ids), 40),
        "name": untrusted.plain(name, 60),
        "owner": _owners(group.rows),
        "tags": _joined(marks(group.rows)),
    }
    return Line(
        key=group.group_key[:12],
        run_ids=group.run_ids,
        method=first.method,
        is_seed=False,
        button=button,
        cells=cells,
    )


def _seed_line(row: RunRow) -> Line:
    result = row.evaluation
    cells = _common(row) | {
        "setting": f"      seed {row.seed}",
        "status": _one_status(row),
        "GRA, %": f"{100 * result.gra:.1f}" if result else "–",
        "95 %": interval(result.ci_low, result.ci_high) if result else "–",
        "seeds": ONE_SEED,
        "KL": number(result.kl if result else None),
        "updated": ago(row.finished_at or row.started_at or row.created_at),
        "runs": str(row.id),
        "name": untrusted.plain(row.name or "", 60),
        "owner": _owners([row]),
        "tags": _joined(marks([row])),
    }
    return Line(key=f"run:{row.id}", run_ids=(row.id,), method=row.method, is_seed=True, button=OPEN_RUN, cells=cells)


def marks(rows: Sequence[RunRow]) -> tuple[str, ...]:
    """What people put on these runs, each thing once: a pin, then tags in the order of the alphabet."""
    pinned = ("pinned",) if any(row.pinned for row in rows) else ()
    return (*pinned, *sorted({tag for row in rows for tag in row.tags}))


def _joined(found: Sequence[str]) -> str:
    """Empty where people put nothing on the runs of a line."""
    return untrusted.plain(", ".join(found), 80)


def _owners(rows: Sequence[RunRow]) -> str:
    names = list(dict.fromkeys(row.owner for row in rows if row.owner))
    return untrusted.plain(", ".join(names), 60) or NOTHING


def _common(row: RunRow) -> dict[str, str]:
    return {
        "models": untrusted.plain(models(row.annotator, row.policy), 60),
        "data": untrusted.plain(f"{dataset_name(row.dataset).split(' (')[0]}, {share(row.label_fraction)}", 48),
    }


def _one_status(row: RunRow) -> str:
    """With the stages that are done while it lives; its page has more."""
    if row.status in LIVE and row.stages:
        return f"{row.status} {row.stages_done}/{row.stages}"
    return row.status
