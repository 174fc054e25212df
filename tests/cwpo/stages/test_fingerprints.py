"""Literal fingerprints: what an installation has stored is found again, whatever fields come later."""

import re
from dataclasses import dataclass, make_dataclass

import pytest

from cwpo.config.run import RunConfig, merged
from cwpo.config.stored import as_stored
from cwpo.stages.fingerprint import fingerprint, identity
from cwpo.stages.graph import build
from cwpo.stages.kinds import KINDS
from cwpo.stages.plain import to_plain, usual
from cwpo.stages.settings import TrainSettings
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
