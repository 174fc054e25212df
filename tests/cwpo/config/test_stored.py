"""Configurations as they lie with runs: earlier versions' are read, another version's keep no other from being read."""

import json
from typing import Any

import pytest

from cwpo.compare.gra import setting_key
from cwpo.config.dotted import flat, without
from cwpo.config.run import RunConfig, merged
from cwpo.config.stored import read_stored
from cwpo.errors import ConfigError

HUB = {"data": {"dataset": "hh"}, "model": {"policy": "facebook/opt-1.3b"}}


def as_stored(config: RunConfig) -> dict[str, Any]:
    """What comes back from a column of JSON."""
    values: dict[str, Any] = json.loads(json.dumps(config.canonical()))
    return values


@pytest.mark.parametrize("values", [{"method": "top:30"}, HUB, {"model": {"lora": {"target_modules": ["q_proj"]}}}])
def test_what_is_stored_is_read_as_it_was_submitted(values: dict[str, Any]) -> None:
    config = RunConfig.parse(values)
    again = RunConfig.stored(as_stored(config))
    assert again == config
    assert (again.hash(), again.group_key()) == (config.hash(), config.group_key())
    assert setting_key(again) == setting_key(config)


def test_the_key_of_a_setting_is_the_text_of_its_stored_values() -> None:
    """As it was written before configurations were parsed: addresses and bundles that hold one stay valid."""
    stored = as_stored(RunConfig.parse(HUB | {"method": "top:30", "seed": 2, "name": "x"}))
    kept = {name: stored[name] for name in stored.keys() - {"method", "top_percent", "seed", "name", "execution"}}
    assert setting_key(RunConfig.stored(stored)) == repr(sorted(kept.items()))
    kept["align"] = {name: value for name, value in stored["align"].items() if name != "steps"}
    assert setting_key(RunConfig.stored(stored), "align.steps") == repr(sorted(kept.items()))


@pytest.mark.parametrize("values", [{"method": "cw"}, HUB])
def test_what_an_earlier_version_did_not_write_has_its_default(values: dict[str, Any]) -> None:
    config = RunConfig.parse(values)
    later = ("align.pair_sampling", "annotator.calibrate", "data.unlabeled_fraction", "weighting", "salt")
    assert RunConfig.stored(without(as_stored(config), later)) == config


def test_fields_that_would_be_refused_together_today_are_read() -> None:
    values = as_stored(RunConfig.parse({"method": "cw"})) | {"top_percent": 30.0}
    with pytest.raises(ConfigError, match="top_percent"):
        RunConfig.parse(values)
    assert RunConfig.stored(values).top_percent == 30.0


@pytest.mark.parametrize(
    ("change", "named"),
    [({"align": {"momentum": 0.9}}, "align.momentum"), ({"method": "oracle_2"}, "method"), ({"align": "x"}, "align")],
)
def test_a_configuration_of_another_version_is_a_sentence_and_hides_no_other(
    change: dict[str, Any], named: str
) -> None:
    good = RunConfig.parse({"method": "weak"})
    found = read_stored({1: as_stored(good), 2: merged(as_stored(good), change)})
    assert found.configs == {1: good}
    assert list(found.unreadable) == [2]
    assert found.unreadable[2].startswith("The configuration of run 2 was stored by another version of cwpo")
    assert f"({named}: " in found.unreadable[2]


def test_fields_are_left_out_by_their_dotted_names() -> None:
    values = {"a": 1, "b": {"a": 2, "c": {"d": 3, "e": {}}}, "d": None}
    assert without(values, ("a", "b.c.d", "c")) == {"b": {"a": 2, "c": {"e": {}}}, "d": None}
    assert dict(flat(values)) == {"a": 1, "b.a": 2, "b.c.d": 3, "b.c.e": {}, "d": None}
