"""Labels that people gave later: the part that their pairs are in, what stages are given, and whose prompts."""

from pathlib import Path

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.data.consensus import consensus
from cwpo.data.pairs import load_part, write_prompts
from cwpo.data.relabels import Relabel, by_pair, content, labels_of, put, read, sandbox_prompts, with_relabels
from cwpo.data.split import split_pairs
from cwpo.errors import ArtifactError, ConfigError, DataError
from cwpo.records import CandidatePair, Prompt, Side
from cwpo.stages.graph import build
from cwpo.stages.resolve import resolve
from cwpo.stages.settings import SplitSettings
from tests.cwpo.small_world import data_artifact, word_pairs
from tests.cwpo.stage import context

PAIRS = word_pairs(40)
RULE = SplitSettings(label_fraction=0.3, split_seed=0)
SPLIT = split_pairs(PAIRS, RULE)
UNLABELED = [pair for pair in PAIRS if SPLIT.has("unlabeled", pair.prompt_id)]
LABELED = [pair for pair in PAIRS if SPLIT.has("labeled", pair.prompt_id)]


def other(side: Side | None) -> Side:
    return "b" if side == "a" else "a"


def relabel(pair: CandidatePair, label: Side | None) -> Relabel:
    return Relabel(
        pair_id=pair.pair_id, prompt_id=pair.prompt_id, prompt=pair.prompt, response_a=pair.response_a,
        response_b=pair.response_b, label=label,
    )  # fmt: skip


ROWS = [relabel(UNLABELED[0], other(UNLABELED[0].human_label)), relabel(UNLABELED[1], None), relabel(LABELED[0], None),
        relabel(LABELED[1], other(LABELED[1].human_label))]  # fmt: skip


def ids(pairs: list[CandidatePair]) -> list[str]:
    return [pair.pair_id for pair in pairs]


def test_a_relabeled_pair_joins_the_labeled_part_and_a_dropped_one_is_in_none(tmp_path: Path) -> None:
    folder, labels = data_artifact(tmp_path, PAIRS), by_pair(ROWS)
    labeled = load_part(folder, "labeled", RULE, labels)
    assert set(ids(labeled)) == (set(ids(LABELED)) | {UNLABELED[0].pair_id}) - {LABELED[0].pair_id}
    assert ids(load_part(folder, "unlabeled", RULE, labels)) == ids(UNLABELED[2:])
    everything = load_part(folder, "all", RULE, labels)
    assert set(ids(PAIRS)) - set(ids(everything)) == {UNLABELED[1].pair_id, LABELED[0].pair_id}
    given = {pair.pair_id: pair.human_label for pair in labeled}
    assert given[UNLABELED[0].pair_id] == other(UNLABELED[0].human_label)
    assert given[LABELED[1].pair_id] == other(LABELED[1].human_label)
    assert given[LABELED[2].pair_id] == LABELED[2].human_label


def test_the_unlabeled_part_counts_without_them() -> None:
    left = with_relabels(SPLIT, ROWS)
    assert left.unlabeled_pairs == SPLIT.unlabeled_pairs - 2
    assert sum(left.holds("unlabeled", pair) for pair in PAIRS) == left.unlabeled_pairs


def test_a_set_is_named_by_its_content_in_any_order_and_read_back(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    name = put(store, ROWS)
    assert put(store, ROWS[::-1]) == name
    assert put(store, ROWS[:3]) != name
    assert sorted(read(store, name), key=lambda row: row.pair_id) == sorted(ROWS, key=lambda row: row.pair_id)
    assert content(read(store, name)) == content(ROWS)
    with pytest.raises(ArtifactError, match="not in the store"):
        read(store, "0" * 64)


def test_a_stage_refuses_a_set_with_a_prompt_of_the_evaluation(tmp_path: Path) -> None:
    folder = data_artifact(tmp_path / "data", PAIRS)
    store = ArtifactStore(tmp_path / "artifacts")
    ctx = context(
        tmp_path, "annotator", config={"relabels": put(store, ROWS), "split_seed": 0, "label_fraction": 0.3},
        inputs={"data": folder}, store=store,
    )  # fmt: skip
    write_prompts([Prompt(prompt_id="free", prompt="?")], folder)
    assert labels_of(ctx) == by_pair(ROWS)
    write_prompts([Prompt(prompt_id=ROWS[0].prompt_id, prompt="?")], folder)
    with pytest.raises(DataError, match="evaluated on"):
        labels_of(ctx)


def test_a_run_with_a_set_is_another_run_and_without_one_the_same_as_before(tmp_path: Path) -> None:
    name = put(ArtifactStore(tmp_path / "artifacts"), ROWS)
    before = build(RunConfig.parse({"method": "cw"}))
    assert not any("relabels" in spec.config for spec in before.values())
    after = build(RunConfig.parse({"method": "cw", "data": {"relabels": name}}))
    changed = {slot for slot in before if before[slot].fingerprint != after[slot].fingerprint}
    assert changed >= {"annotator", "labels", "reference", "align", "samples", "scores", "evaluation"}
    assert not changed & {"data", "prompts", "base_policy", "base_annotator"}


def test_the_gold_reward_never_sees_a_set(tmp_path: Path) -> None:
    """Who judges stays the same, so that both runs are judged alike."""
    name = put(ArtifactStore(tmp_path / "artifacts"), ROWS)
    plain = {"method": "cw", "evaluation": {"gold_reward": "trained"}}
    before, after = (build(RunConfig.parse(values)) for values in (plain, {**plain, "data": {"relabels": name}}))
    assert before["gold"].fingerprint == after["gold"].fingerprint


def test_resolving_asks_for_the_set_and_refuses_the_sandbox_prompts(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")

    def asked(relabels: str) -> RunConfig:
        return resolve(RunConfig.parse({"method": "cw", "data": {"relabels": relabels}}), bf16=False, home=tmp_path)

    assert asked(put(store, ROWS)).data.relabels == put(store, ROWS)
    with pytest.raises(ConfigError, match=r"data\.relabels.*not in the store"):
        asked("0" * 64)
    with pytest.raises(ConfigError, match=r"data\.relabels.*is a name"):
        asked("least-sure@1")
    held = next(iter(sandbox_prompts(400, 0)))
    leaking = Relabel(pair_id="p", prompt_id=held, prompt="?", response_a="x", response_b="y", label="a")
    with pytest.raises(ConfigError, match=r"1 of the pairs .* evaluated on"):
        asked(put(store, [*ROWS, leaking]))


@pytest.mark.parametrize(
    ("votes", "verdict", "agreeing"),
    [
        ("a", "a", 1), ("a a b", "a", 2), ("a b", "undecided", 0), ("tie tie a", "undecided", 2), ("drop", "drop", 1),
        ("drop a", "undecided", 0), ("unsure", "undecided", 0), ("unsure unsure b", "b", 1), ("tie a", "undecided", 0),
        ("drop drop a", "drop", 2),
    ],
)  # fmt: skip
def test_the_majority_decides_and_unsure_votes_say_nothing(votes: str, verdict: str, agreeing: int) -> None:
    found = consensus(votes.split())
    assert (found.verdict, found.agreeing) == (verdict, agreeing)
    assert found.side == (verdict if verdict in ("a", "b") else None)
