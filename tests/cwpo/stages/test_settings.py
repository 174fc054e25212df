"""Settings as JSON and back: nothing is lost, nothing else is taken, what comes later leaves what is stored valid."""

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ArtifactError, SettingsError
from cwpo.stages.graph import build
from cwpo.stages.kinds import KINDS, kind_named, stored_settings
from cwpo.stages.plain import from_plain, inlined, others, to_plain, usual
from cwpo.stages.settings import AlignSettings, AnnotatorSettings, LabelSettings, ObjectiveSettings, Settings
from cwpo.stages.stored_annotator import stored_annotator
from tests.cwpo.stage import settings
from tools.fingerprints import runs

ANNOTATOR_OF_BEFORE = {
    "model": "sandbox/opt-48", "revision": None, "precision": "fp32", "max_length": None, "label_fraction": 0.3,
    "split_seed": 0, "seed": 0, "dropout": 0.1, "early_stopping": False, "heldout_fraction": None, "kind": "joint",
    "train": {"epochs": 5.0, "lr": 0.001, "batch_size": 16, "warmup_steps": 0, "schedule": "cosine",
              "weight_decay": 0.05, "max_grad_norm": 1.0},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Two numbers."""

    share: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Every way in which a field can stand in the plain form."""

    name: str
    inner: Inner | None
    names: tuple[str, ...] | None
    later: int = usual(1)
    beside: Inner | None = inlined()


@dataclass(frozen=True, kw_only=True)
class Open:
    """A name with whatever belongs to it."""

    name: str
    options: dict[str, float | int | str | None] = others()


def test_every_stage_of_many_runs_comes_back_from_what_is_stored() -> None:
    """Presets, examples and a grid: the same settings, the same JSON, by kind."""
    seen: dict[str, int] = {}
    for number, (_, config) in enumerate(runs()):
        if number % 7:
            continue
        for spec in build(config).values():
            assert stored_settings(spec.kind, spec.config) == spec.settings
            assert to_plain(stored_settings(spec.kind, spec.config)) == spec.config
            seen[spec.kind] = seen.get(spec.kind, 0) + 1
    assert seen.keys() == KINDS.keys()


def test_the_plain_form_leaves_usual_values_out_and_puts_inlined_parts_beside() -> None:
    plain = Outer(name="a", inner=None, names=None)
    assert to_plain(plain) == {"name": "a", "inner": None, "names": None}
    full = Outer(name="a", inner=Inner(share=0.5, seed=1), names=("x", "y"), later=2, beside=Inner(share=0.25, seed=3))
    assert to_plain(full) == {
        "name": "a", "inner": {"share": 0.5, "seed": 1}, "names": ["x", "y"], "later": 2, "share": 0.25, "seed": 3,
    }  # fmt: skip
    assert from_plain(Outer, to_plain(plain)) == plain
    assert from_plain(Outer, to_plain(full)) == full


def test_other_names_are_kept_as_they_are() -> None:
    one = Open(name="top", options={"percent": 30.0, "seed": 1, "temperature": None})
    assert to_plain(one) == {"name": "top", "percent": 30.0, "seed": 1, "temperature": None}
    assert from_plain(Open, to_plain(one)) == one
    assert isinstance(from_plain(Open, {"name": "x", "n": 1}).options["n"], int)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"color": 1}, "color is not known"),
        ({"name": None}, "name cannot be None"),
        ({"name": 3}, "name cannot be 3"),
        ({"inner": {"share": 0.5}}, "inner.seed is missing"),
        ({"inner": {"share": True, "seed": 1}}, "inner.share cannot be True"),
        ({"inner": {"share": 0.5, "seed": 1, "x": 1}}, "inner.x is not known"),
        ({"names": [1]}, "names cannot be 1"),
        ({"later": "1"}, "later cannot be '1'"),
        ({"share": 0.25}, "seed is missing"),
    ],
)
def test_what_does_not_fit_names_its_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_plain(Outer, {"name": "a", "inner": None, "names": None, **change})


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_and_an_unknown_field_of_a_stored_stage_are_sentences(kind: str) -> None:
    plain = to_plain(settings(kind))
    with pytest.raises(SettingsError, match=f"of kind {kind} cannot be read, because surplus is not known: another"):
        stored_settings(kind, {**plain, "surplus": 1})
    first = next(iter(plain))
    with pytest.raises(SettingsError, match=f"because {first} is missing"):
        stored_settings(kind, {name: value for name, value in plain.items() if name != first})


def test_an_unknown_kind_lists_the_valid_ones() -> None:
    with pytest.raises(KeyError, match=r"unknown stage kind 'distill'; choose one of data, base, annotator"):
        kind_named("distill")


def test_settings_of_every_kind_are_frozen() -> None:
    for kind in KINDS.values():
        assert issubclass(kind.settings, Settings)
        with pytest.raises(FrozenInstanceError):
            setattr(settings(kind.name), fields(kind.settings)[0].name, 1)


def test_graphs_give_stages_only_inputs_that_their_kind_declares() -> None:
    for number, (name, config) in enumerate(runs()):
        if number % 7 == 0:
            for spec in build(config).values():
                assert all(spec.row.reads(given) for given in spec.inputs), f"{name}: {spec.slot}"


def test_an_annotator_that_the_version_before_stored_is_read(tmp_path: Any) -> None:
    """Its manifest as that version wrote it, field by field."""
    store = ArtifactStore(tmp_path)
    with store.build("a" * 64, {"kind": "annotator", "config": ANNOTATOR_OF_BEFORE, "inputs": {}}) as out:
        (out / "model.json").write_text("{}")
    found = stored_annotator(store, "a" * 64)
    assert (found.kind, found.model, found.precision, found.max_length) == ("joint", "sandbox/opt-48", "fp32", None)
    with store.build("b" * 64, {"kind": "labels", "config": {}, "inputs": {}}) as out:
        (out / "model.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is no annotator but labels"):
        stored_annotator(store, "b" * 64)


def test_typed_settings_say_what_the_stored_ones_said() -> None:
    annotator = stored_settings("annotator", ANNOTATOR_OF_BEFORE)
    assert isinstance(annotator, AnnotatorSettings)
    assert (annotator.train.lr, annotator.kind, annotator.swapped_labels) == (0.001, "joint", None)
    implicit = settings("labels", kind="implicit", model="m", revision=None, beta=0.2)
    assert isinstance(implicit, LabelSettings)
    assert implicit.implicit is not None
    assert implicit.implicit.beta == 0.2
    aligned = settings("align", objective={"name": "ipo", "beta": 0.5, "ipo_reduction": "sum"})
    assert isinstance(aligned, AlignSettings)
    assert aligned.objective == ObjectiveSettings(name="ipo", options={"beta": 0.5, "ipo_reduction": "sum"})
    assert (aligned.steps, aligned.pair_sampling) == ("kept", "all")
