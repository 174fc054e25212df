"""What pages read: one cached engine, short-lived caches for what is heavy. Every query itself lives in db.queries."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pandas as pd
import streamlit as st

from cwpo.compare import gra
from cwpo.compare.alignment_end import END_METRICS, AlignmentEnd, alignment_ends
from cwpo.compare.configured_run import Configs
from cwpo.compare.costs import CostRow, Prices, StageCost, cost_table, stage_costs
from cwpo.compare.gra import DifferenceRow, GraRow, differences, gra_table, pairs_against, planned_interactions
from cwpo.compare.head_to_head import HeadToHead, head_to_head
from cwpo.compare.in_list import SettingResult, setting_results
from cwpo.compare.matched_kl import FrontierRow, MatchedRow, frontier_rows, frontiers, matched_differences
from cwpo.compare.questions.gains import GainRow, Quality, gains
from cwpo.compare.questions.spots import SpotRow, spot_rows
from cwpo.compare.questions.transfer import Source, TransferRow, transfer_rows
from cwpo.compare.questions.tuned import TunedRow, tuned_differences
from cwpo.compare.two_judges import GoldRow, gold_table
from cwpo.config.run import RunConfig
from cwpo.config.stored import StoredConfigs, read_stored
from cwpo.data.related.outcomes import CLUSTER
from cwpo.report.labels.annotators import Scaling, scaling
from cwpo.stages.graph import BLIND_SPOTS
from db import queries
from db.engine import Engines, Session, make_engines, read_scope
from db.records import AnnotatorRow, Judged, LabelSummary, RunGroup, RunRecord, RunRow
from workers import related_prompts
from workers.machine.database import database_url

SECONDS = 60  # finished results do not change; a deleted run may be seen this long
MOST_RESULTS = 64
MOST_KEPT = 4_000  # results of settings
MOST_CONFIGS = 2_000
MOST_ANNOTATORS = 200  # in a list

Published = tuple[tuple[int, int], ...]  # (run, hash of its evaluation): another evaluation is another result


@st.cache_resource(show_spinner=False)
def _engines(url: str) -> Engines:
    return make_engines(url)


@contextmanager
def reading() -> Iterator[Session]:
    """A session on the read engine: one snapshot for what a page shows together."""
    with read_scope(_engines(database_url())) as session:
        yield session


def results_of(groups: Sequence[RunGroup]) -> dict[str, SettingResult]:
    """GRA over the seeds of each group that has at least one evaluated run, by group key. What is not known yet is
    read at once, however many groups it is of."""
    kept, found = _results(database_url()), {}
    missing: dict[str, tuple[Published, list[RunRow]]] = {}
    for group in groups:
        evaluated = [row for row in group.rows if row.evaluation is not None]
        published = _published(evaluated)
        if published in kept:
            found[group.group_key] = kept[published]
        elif evaluated:
            missing[group.group_key] = (published, evaluated)
    if missing:
        with reading() as session:
            outcomes = related_prompts.outcomes(session, [row.id for _, rows in missing.values() for row in rows])
        new = setting_results({key: rows for key, (_, rows) in missing.items()}, outcomes)
        found |= new
        kept |= {missing[key][0]: result for key, result in new.items()}
    while len(kept) > MOST_KEPT:
        kept.pop(next(iter(kept)), None)
    return found


def table_of(rows: Sequence[RunRow]) -> list[GraRow]:
    """The GRA table of these evaluated runs."""
    return _table(database_url(), _published(rows), tuple(rows))


def differences_of(rows: Sequence[RunRow], reference: str, settings: Mapping[str, str]) -> list[DifferenceRow]:
    """Paired differences against the setting with this group key; the planned ones where it is empty."""
    return _differences(database_url(), _published(rows), reference, settings, tuple(rows))


def labels_of(rows: Sequence[RunRow]) -> dict[str, str]:
    """What the settings of these runs are called beside each other, by group key."""
    return gra.labels_of(rows, configs_of(rows))


def frontiers_of(rows: Sequence[RunRow], reference: str) -> tuple[list[FrontierRow], list[MatchedRow]]:
    """GRA–KL frontiers of the methods that were run at several β, and their differences at matched KL."""
    return _frontiers(database_url(), _published(rows), reference, tuple(rows))


def tuned_of(rows: Sequence[RunRow], reference: str) -> list[TunedRow]:
    """Differences with β tuned per method, of methods that were run at several."""
    return _tuned(database_url(), _published(rows), reference, tuple(rows))


def gold_table_of(rows: Sequence[RunRow], key: str) -> list[GoldRow]:
    """These runs under their own gold reward and under the further one of that key."""
    return _gold_table(database_url(), _published(rows), key, tuple(rows))


def gains_of(rows: Sequence[RunRow]) -> list[GainRow]:
    """What C gains over uniform weak labels, annotator by annotator, among these evaluated runs."""
    return _gains(database_url(), _published(rows), tuple(rows))


def transfer_of(rows: Sequence[RunRow]) -> list[TransferRow]:
    """How annotators of these runs label pairs of other sources or datasets than they learned from."""
    configs = configs_of(rows)
    asking = [config for config in configs.values() if config.needs_annotator]
    used = tuple(sorted({config.annotator.use for config in asking if config.annotator.use is not None}))
    if not used and not any(config.data.shifted for config in asking):
        return []
    return transfer_rows(configs, _quality(rows), _learned(database_url(), used) if used else {})


def _quality(rows: Sequence[RunRow]) -> dict[int, Quality]:
    """How right and how calibrated the annotators of these runs are, by run."""
    return {
        summary.run_id: Quality(
            accuracy=summary.human.accuracy.estimate,
            ece=summary.human.ece,
            auroc=summary.human.auroc,
            mean_confidence=summary.human.mean_confidence.estimate,
        )
        for summary in label_summaries_of([row.id for row in rows if row.annotator])
        if summary.human is not None
    }


def blind_spots_of(run_id: int) -> list[SpotRow] | None:
    """Where the policy of a run is confident and wrong; None before anybody looked."""
    with reading() as session:
        found = queries.summaries(session, [run_id], (BLIND_SPOTS,))[BLIND_SPOTS].get(run_id)
    return None if found is None else spot_rows(found[BLIND_SPOTS])


def head_to_head_of(first: Sequence[RunRow], second: Sequence[RunRow], labels: tuple[str, str]) -> HeadToHead:
    """Two settings against each other, from stored answers and scores."""
    return _head_to_head(database_url(), _published([*first, *second]), labels, tuple(first), tuple(second))


def costs_of(rows: Sequence[RunRow], table: Sequence[GraRow], prices: Prices) -> tuple[list[CostRow], list[StageCost]]:
    """Labels, seconds and money of each setting, and seconds by kind of stage."""
    ids, configs = [row.id for row in rows], configs_of(rows)
    with reading() as session:
        seconds = queries.stage_seconds(session, ids)
        summaries = queries.summaries(session, ids, ("data",))
        sets = queries.set_sizes(session, {config.data.relabels for config in configs.values()} - {None})
    return cost_table(table, configs, seconds, summaries, prices, sets), stage_costs(seconds)


def outcomes_of(run_ids: Sequence[int]) -> pd.DataFrame:
    """Per-prompt outcomes of evaluated runs."""
    return _outcomes(database_url(), tuple(run_ids))


def unrelated_of(rows: Sequence[RunRow]) -> int:
    """How many prompts these evaluated runs answered, where related ones count as one."""
    found = outcomes_of([row.id for row in rows])
    return int(found[CLUSTER if CLUSTER in found else "prompt_id"].nunique())


def alignment_ends_of(run_ids: Sequence[int]) -> Mapping[int, AlignmentEnd]:
    """The log-ratios at the end of alignment, by run."""
    return _alignment_ends(database_url(), tuple(run_ids))


def configs_of(rows: Sequence[RunRow]) -> Configs:
    """The configurations of these runs, which never change; without those that cannot be read here."""
    return _stored([row.id for row in rows]).configs


def unreadable(rows: Sequence[RunRow]) -> list[str]:
    """One sentence for each of these runs whose configuration cannot be read here."""
    return list(_stored([row.id for row in rows]).unreadable.values())


def keep_config(run: RunRecord) -> None:
    """It was read beside something else, and need not be read again."""
    _kept_configs(database_url()).setdefault(run.id, read_stored({run.id: run.config}))


def label_summaries_of(run_ids: Sequence[int]) -> list[LabelSummary]:
    """One summary per annotator behind these runs."""
    return _label_summaries(database_url(), tuple(run_ids))


def annotators() -> list[AnnotatorRow]:
    """Every annotator that has labeled, newest first; of very many the newest."""
    with reading() as session:
        return queries.list_annotators(session, limit=MOST_ANNOTATORS)


def annotator(stage_id: int) -> AnnotatorRow | None:
    """The annotator of this labels stage, however old."""
    with reading() as session:
        return next(iter(queries.list_annotators(session, stage_id=stage_id)), None)


def scaling_of(row: AnnotatorRow) -> Scaling[Judged] | None:
    """Raw and scaled confidence of an annotator on a sample of its pairs; None without a fitted temperature."""
    return None if row.temperature is None else _scaling(database_url(), row.stage_id, row.temperature)


def runs_by_id(session: Session, run_ids: Sequence[int]) -> list[RunRow]:
    """The rows of these runs in the order asked for, without their progress; unknown ids are left out."""
    found = {row.id: row for row in queries.compared_runs(session, run_ids=run_ids, limit=len(run_ids) or 1)}
    return [found[run_id] for run_id in run_ids if run_id in found]


@st.cache_resource(show_spinner=False)
def _results(url: str) -> dict[Published, SettingResult]:
    """Results of settings by what they depend on, so that an entry is never out of date; the oldest go first."""
    return {}


@st.cache_data(ttl=10 * SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _table(url: str, published: Published, _rows: tuple[RunRow, ...]) -> list[GraRow]:
    ids = [row.id for row in _rows]
    return gra_table(list(_rows), outcomes_of(ids), configs=configs_of(_rows), ends=alignment_ends_of(ids))


@st.cache_data(ttl=10 * SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _differences(
    url: str, published: Published, reference: str, settings: Mapping[str, str], _rows: tuple[RunRow, ...]
) -> list[DifferenceRow]:
    asked = planned_interactions(_rows, settings=settings)
    pairs = [*pairs_against(_rows, reference), *asked] if reference else None
    ids = [row.id for row in _rows]
    return differences(_rows, outcomes_of(ids), pairs=pairs, settings=settings, configs=configs_of(_rows))


@st.cache_data(ttl=10 * SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _frontiers(
    url: str, published: Published, reference: str, _rows: tuple[RunRow, ...]
) -> tuple[list[FrontierRow], list[MatchedRow]]:
    found = frontiers(_rows, outcomes_of([row.id for row in _rows]), configs_of(_rows))
    return frontier_rows(found), matched_differences(found, reference=reference)


@st.cache_data(ttl=10 * SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _tuned(url: str, published: Published, reference: str, _rows: tuple[RunRow, ...]) -> list[TunedRow]:
    found = frontiers(_rows, outcomes_of([row.id for row in _rows]), configs_of(_rows))
    return tuned_differences(found, reference=reference)


@st.cache_data(ttl=10 * SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _gains(url: str, published: Published, _rows: tuple[RunRow, ...]) -> list[GainRow]:
    return gains(_rows, outcomes_of([row.id for row in _rows]), configs_of(_rows), _quality(_rows))


@st.cache_data(ttl=SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _learned(url: str, used: tuple[str, ...]) -> dict[str, Source]:
    """What annotators that other runs use learned from, by fingerprint."""
    with reading() as session:
        found = queries.learned_from(session, used)
    return {
        one.fingerprint: Source.of(one.dataset, revision=one.revision, subset=one.subset, sources=one.sources)
        for one in found
    }


@st.cache_data(ttl=SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _gold_table(url: str, published: Published, key: str, _rows: tuple[RunRow, ...]) -> list[GoldRow]:
    ids = [row.id for row in _rows]
    with reading() as session:
        further = related_prompts.outcomes(session, ids, slot=f"evaluation@{key}")
    return gold_table(_rows, outcomes_of(ids), further, configs=configs_of(_rows))


@st.cache_data(ttl=SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _head_to_head(
    url: str,
    published: Published,
    labels: tuple[str, str],
    _first: tuple[RunRow, ...],
    _second: tuple[RunRow, ...],
) -> HeadToHead:
    with reading() as session:
        scores = queries.scores(session, [row.id for row in (*_first, *_second)])
        scores = related_prompts.related(session, scores)
    return head_to_head(_first, _second, scores, labels=labels)


def _published(rows: Sequence[RunRow]) -> Published:
    """What a result depends on: to hash whole rows would cost more than most results."""
    return tuple((row.id, hash(row.evaluation)) for row in rows)


@st.cache_data(ttl=SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _outcomes(url: str, run_ids: tuple[int, ...]) -> pd.DataFrame:
    with reading() as session:
        return related_prompts.outcomes(session, run_ids)


@st.cache_data(ttl=SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _alignment_ends(url: str, run_ids: tuple[int, ...]) -> Mapping[int, AlignmentEnd]:
    with reading() as session:
        ends = queries.final_metrics(session, run_ids, "align", END_METRICS)
    return alignment_ends(_stored(run_ids).configs, ends)


@st.cache_resource(show_spinner=False)
def _kept_configs(url: str) -> dict[int, StoredConfigs]:
    """Configurations by their runs, which never get another one; the oldest go first."""
    return {}


def _stored(run_ids: Sequence[int]) -> StoredConfigs:
    """What is not known yet is read at once, however many runs it is of."""
    kept = _kept_configs(database_url())
    found = {run_id: kept[run_id] for run_id in run_ids if run_id in kept}
    missing = [run_id for run_id in dict.fromkeys(run_ids) if run_id not in found]
    if missing:
        with reading() as session:
            stored = queries.configs(session, missing)
        found |= {run_id: read_stored({run_id: config}) for run_id, config in stored.items()}
        kept |= {run_id: found[run_id] for run_id in stored}
    while len(kept) > MOST_CONFIGS:
        kept.pop(next(iter(kept)), None)
    configs, unreadable = dict[int, RunConfig](), dict[int, str]()
    for run_id in run_ids:
        if run_id in found:
            configs |= found[run_id].configs
            unreadable |= found[run_id].unreadable
    return StoredConfigs(configs=configs, unreadable=unreadable)


@st.cache_data(ttl=SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _label_summaries(url: str, run_ids: tuple[int, ...]) -> list[LabelSummary]:
    with reading() as session:
        found = queries.label_summaries(session, run_ids)
    return list(found.values())


@st.cache_data(ttl=10 * SECONDS, max_entries=MOST_RESULTS, show_spinner=False)
def _scaling(url: str, stage_id: int, temperature: float) -> Scaling[Judged] | None:
    with reading() as session:
        margins = queries.label_margins(session, stage_id)
    return scaling(margins, temperature, Judged.from_summary)


def newest_labeled_run() -> int | None:
    """The newest run whose annotator has labeled, for pages opened without a run."""
    with reading() as session:
        return queries.newest_with_labels(session)
