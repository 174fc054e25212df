"""Literal fingerprints: what an installation has stored is found again, whatever fields come later."""

import re
from dataclasses import dataclass, make_dataclass, replace
from typing import Any

import pytest

from cwpo.config.run import RunConfig, merged
from cwpo.config.stored import as_stored
from cwpo.stages import from_config
from cwpo.stages.fingerprint import SCORE_RULE, fingerprint, identity
from cwpo.stages.graph import build
from cwpo.stages.kinds import KINDS, stored_settings
from cwpo.stages.plain import to_plain, usual
from cwpo.stages.settings import CardSettings, SampleSettings, Settings, TrainSettings
from tests.cwpo.stage import TRAIN

EVERY_KIND = {
    "method": "cw",
    "annotator": {"calibrate": True},
    "sft": {"data": "labeled"},
    "evaluation": {"gold_reward": "trained", "judge": {"kind": "simulated", "human_labels": True}},
}
# Asked for beside them, with an alignment that keeps models, whose own fingerprint is another one then.
ALONG = merged(EVERY_KIND, {"evaluation": {"along": {"checkpoints": 3}}})
# Of each kind's first stage in that run, without its inputs. A number here changes only where a version was raised: a
# new field of a stage's settings is declared with usual(…), so that it is left out where it says nothing new.
STORED = {
    "data": "c1dd0ea2097f32e5ce728f465a2fcd72b3bb99c46fedf9966fb2a15ea5676311",
    "base": "81b7338e3932452e61eb3b32f246ebaa192bbee10fd3d25a693feaf49032eb6a",
    "annotator": "e76e5706b4537673b201c4d2b7664d2ce0bb60635980019d6578eaec3f74e3af",
    "calibration": "cd67e8d0e0f129c6c207e0c8bc2c5b369b5280e5cd31c7f716042b42cc1af0f4",
    "labels": "51e589f4dd26acdc923f7661994840fc0ca2edf851d468d0f916276117b02501",
    "sft": "4111cf1e1b3843b1963be64b4c88d2a183e57d8582b9d9cbe5613132bac288d0",
    "reference": "e91c6e91fae037a12de9122e8e8fc1272c34cb522c6d817f1f8591c5ce83380b",
    "align": "e7a865b75b2fe60c8dd938c6ccd6495cba93b7f83cc1cca815806f0d1b9bbb8a",
    "online": "461765423c4d576c0bf8a454a8ac2a5f4d7fdecbc244acb27db972ff5dc00cd9",
    "samples": "913b7398aa1158701c981a7eaa1881d2eb989f745e6b50f40edb0d92cd8db009",
    "gold": "103300baa5085e6a93feed9ab4dff7bf4cbffed3d9e3d5b41a054f278446f185",
    "scores": "e728b273af1c64cce8dc3223348b5bd3847c3a41591b1ddb42eace3130895cbb",
    "evaluation": "b9e998e16a9b32b11abf555e996dc0b7f9c588e21edc4f76fdea2c2d74891b97",
    "judge": "fd018ad0b13b5e4eec9d19942dd345ed19143ba900a641dd24d6738487b63df8",
    "card": "6fab55e45b2ab600fda65bafbaf04322b7907ad5d578c4a97c6a44e4b83ff952",
    "along": "caeb2789b50c94e7282d435287ddfe98a1858281522329a2676252bca9abb86d",
    "best_of": "776832aad082e43194538efa8d01f4092e5808f1c539aa672b4bb8b7d8735237",
}

# What the second rules changed.
SECOND = {
    "data": "6a2781777e04fb57a60d0ba864379572b724f61cadc5df44ba9ae6aa01a7ec58",
    "evaluation": "2c0c49a81a46c2f7f7df925d321ca94dacc304000be4c7834d44fc50a434360b",
    "along": "703ffe8555de5582239429fc1ed5259d046eabbadc73aaaba241a7ec0c44d95a",
    "best_of": "b932ce364ff7de5603ec570a9938baf3d12bdc6e72ce12571b8159c9ae07689e",
    "card": "d6b09930d24f36b4885d4218631320b1ef56a686f305830a597a68fe3fd5bf3a",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rules", "wanted"), [(1, STORED), (2, {**STORED, **SECOND})])
def test_what_is_stored_of_a_kind_stays_valid(kind: str, rules: int, wanted: dict[str, str]) -> None:
    asked = ALONG if kind in ("along", "best_of") else EVERY_KIND
    config = RunConfig.parse({**asked, "rules": rules})
    online = RunConfig.parse({**EVERY_KIND, "rules": rules, "align": {"online": {}}})
    spec = next(spec for run in (config, online) for spec in build(run).values() if spec.kind == kind)
    now = fingerprint(spec.settings, {}, salt="")
    assert now == wanted[kind], f"stored {kind} stages are lost: declare the new field usual(…), or raise the version"


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        (1, "e7d43c084f49d962254daeca349e365af3970585f34256afba34037c36683188"),
        (2, "6c27788c247c035230754c61c57a3234f82defcae073b7d430473316bf43ad77"),
    ],
)
def test_the_whole_chain_of_a_run_is_the_stored_one(rules: int, wanted: str) -> None:
    """The last stage hangs on all others, their inputs by name and the salt."""
    evaluation = build(RunConfig.parse({**EVERY_KIND, "rules": rules}))["evaluation"]
    assert evaluation.fingerprint == wanted
    assert re.fullmatch("[0-9a-f]{64}", evaluation.fingerprint)


def test_a_run_that_was_stored_before_there_were_rules_has_the_first() -> None:
    """Parsed again with what was stored spelled out, it stays what it was; a new run has the second."""
    canonical = RunConfig.parse({**EVERY_KIND, "rules": 1}).canonical()
    stored = {name: value for name, value in canonical.items() if name != "rules"}
    for config in (RunConfig.stored(stored), RunConfig.parse(as_stored(stored))):
        assert config.rules == 1
        assert build(config)["evaluation"].fingerprint.startswith("e7d43c084f49d962")
    assert RunConfig.parse(EVERY_KIND).rules == 2
    assert RunConfig.stored(RunConfig.parse(EVERY_KIND).canonical()).rules == 2


SKYWORK, STEAMSHP = "skywork-qwen3-0.6b", "steamshp-flan-t5-large"
LOGITS = {"kind": "local", "model": "Qwen/Qwen3-8B", "verdicts": "logits", "human_labels": True}
# How fingerprints began before logits of bf16 models were float32 and SteamSHP's question was read as text.
BEFORE_RULES = {
    ("fp32", SKYWORK): {
        "scores": "258e04e41e9af249", "along": "7279c27f1713f146", "best_of": "6c3f284ca4174159",
        "judge": "0015f8e1d6b917c8", "card": "07f8acc42b93d047",
    },
    ("fp32", "trained"): {
        "scores": "e728b273af1c64cc", "along": "70d44bfc374846db", "best_of": "2aa88ea31d4283ef",
        "judge": "0015f8e1d6b917c8", "card": "07f8acc42b93d047",
    },
    ("fp32", STEAMSHP): {
        "scores": "abe1a273126ee521", "along": "4dbec744d4692f49", "best_of": "297c6164b7d482e8",
        "judge": "0015f8e1d6b917c8", "card": "07f8acc42b93d047",
    },
    ("bf16", SKYWORK): {
        "scores": "a62e3a6daa7fa0f6", "along": "6bdef83099096652", "best_of": "cdb77409302711d0",
        "judge": "14cf7eac34eaf93d", "card": "00450032dd68843c",
    },
    ("bf16", "trained"): {
        "scores": "7b098f7587c2ba3a", "along": "a0db87018a725d70", "best_of": "9f2a9acf83e2dc87",
        "judge": "14cf7eac34eaf93d", "card": "00450032dd68843c",
    },
    ("bf16", STEAMSHP): {
        "scores": "0ff6d35b74e98c26", "along": "84a56e244e9a3959", "best_of": "0674586ff5241664",
        "judge": "14cf7eac34eaf93d", "card": "00450032dd68843c",
    },
}  # fmt: skip
# Replies that such a judge writes are sampled by another rule in bf16 too.
WRITTEN = {"kind": "local", "model": "Qwen/Qwen3-8B", "human_labels": True}


@pytest.mark.parametrize(("precision", "rule"), [("fp32", None), ("bf16", SCORE_RULE)])
@pytest.mark.parametrize("asked", [LOGITS, WRITTEN])
def test_a_local_judge_in_bf16_replies_by_another_rule(asked: dict[str, Any], precision: str, rule: int | None) -> None:
    run = {"method": "cw", "data": {"dataset": "hh"}, "model": {"precision": precision}, "evaluation": {"judge": asked}}
    specs = build(RunConfig.parse(run)).values()
    judges = [to_plain(spec.settings)["judge"] for spec in specs if spec.kind in ("judge", "card")]
    assert [judge.get("rule") for judge in judges if judge] == [rule] * 2


OF_GOLD, OF_LETTERS = {"scores", "along", "best_of"}, {"judge", "card"}
CHANGED = {
    ("fp32", STEAMSHP): OF_GOLD,
    ("bf16", SKYWORK): OF_GOLD | OF_LETTERS,
    ("bf16", "trained"): OF_LETTERS,
    ("bf16", STEAMSHP): OF_GOLD | OF_LETTERS,
}


def unbatched(settings: Settings) -> Settings:
    """Without the batches of answers, which have a rule of their own, and with related prompts divided as they were."""
    if isinstance(settings, CardSettings):
        return replace(settings, by="prompts")
    return replace(settings, batches=None) if isinstance(settings, SampleSettings) else settings


@pytest.mark.parametrize(("precision", "gold"), BEFORE_RULES)
def test_scores_that_are_computed_otherwise_have_other_fingerprints_and_no_others_do(precision: str, gold: str) -> None:
    """Those of before are found again without the rule, which is all that is new."""
    data = {"dataset": "shp", "subset": "askbaking"} if gold == STEAMSHP else {"dataset": "hh"}
    asked = {"gold_reward": gold, "judge": LOGITS, "along": {"checkpoints": 3}}
    config = RunConfig.parse({"method": "cw", "data": data, "model": {"precision": precision}, "evaluation": asked})
    specs = {spec.kind: unbatched(spec.settings) for spec in build(config).values()}
    then, changed = BEFORE_RULES[precision, gold], CHANGED.get((precision, gold), set())
    assert {kind for kind in then if fingerprint(specs[kind], {}, salt="")[:16] != then[kind]} == changed
    for kind in then:
        plain = to_plain(specs[kind])
        rules = [plain[part].pop("rule", None) for part in ("gold_reward", "judge") if plain.get(part)]
        assert rules == [SCORE_RULE if kind in changed else None]
        assert fingerprint(stored_settings(kind, plain), {}, salt="")[:16] == then[kind]
    card = from_config.card(config, None).gold_reward
    assert card is not None
    assert card.rule == (SCORE_RULE if "scores" in changed else 1)


def test_a_later_field_of_training_changes_nothing_at_its_usual_value() -> None:
    later = make_dataclass("Later", [("beta2", float, usual(0.999))], bases=(TrainSettings,), frozen=True, kw_only=True)
    assert to_plain(later(**TRAIN)) == to_plain(TrainSettings(**TRAIN))  # type: ignore[arg-type]
    assert to_plain(later(**TRAIN, beta2=0.95)) == {**TRAIN, "beta2": 0.95}


def test_a_later_field_that_is_not_declared_so_changes_the_plain_form() -> None:
    """What the literal fingerprints above are there to catch."""

    @dataclass(frozen=True, kw_only=True)
    class Careless(TrainSettings):
        beta2: float = 0.999

    assert to_plain(Careless(**TRAIN)) != to_plain(TrainSettings(**TRAIN))  # type: ignore[arg-type]


def test_a_path_is_named_by_its_content_at_any_depth() -> None:
    pinned = {"tokenizer": "/a/b", "tokenizer_revision": "sha256:1", "max_tokens": 5}
    assert identity({"length_rule": pinned})["length_rule"]["tokenizer"] == "sha256:1"
    assert identity({"model": "/a", "revision": "sha256:2"})["model"] == "sha256:2"
    assert identity({"model": "owner/name", "revision": "c" * 40})["model"] == "owner/name"
