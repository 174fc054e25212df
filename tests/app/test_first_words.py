"""What somebody needs who sees a page for the first time: what is measured, what a name means, what a column says."""

import re

from app.components.form.fields import all_fields
from app.components.runs.columns import BUILT_IN
from cwpo.config import catalog
from tests.app.visits import Computed, visit, words
from tests.workers.labeled import labeled_run, pair_row


def test_an_empty_list_says_what_is_compared_and_what_it_is_measured_by(empty: None) -> None:
    said = words(visit("runs"))
    for needed in ("a confidence C from 0 to 1", "every pair weighted by its C", "GRA, gold reward accuracy"):
        assert needed in said


def test_every_method_has_one_sentence_beside_its_choice() -> None:
    told = all_fields()["methods"].help
    for row in catalog.METHODS.values():
        assert f"- **{row.label}**: {row.about}" in told
        assert re.fullmatch(r"[A-Z][^.!?]*\.", row.about), row.about


def test_gra_is_spelled_out_wherever_it_is_the_answer(computed: Computed) -> None:
    """On Compare a caption does it, which tests/app/test_compare.py reads."""
    page = visit("run", run=str(computed.sweep[0]))
    told = {metric.label: metric.proto.help for metric in page.metric}
    assert "gold reward accuracy" in told["GRA"]
    assert BUILT_IN["gra"].help.startswith("Gold reward accuracy")
    helped = [element.proto.help for element in visit("paper").markdown if element.proto.help]
    assert any("gold reward accuracy" in text for text in helped)


def test_c_delta_and_p_have_their_meaning_beside_the_pairs(empty: None) -> None:
    run = labeled_run(12)
    for params in ({}, {"pair": pair_row(0)["pair_id"]}):
        page = visit("examples", run=str(run), **params)
        (told,) = [one.proto.help for one in page.caption if one.proto.help]
        assert all(symbol in told for symbol in ("Δ is", "P = σ(Δ)", "C = 2(σ(Δ) − ½)"))


def test_a_copy_of_a_failed_run_opens_where_its_error_points(computed: Computed) -> None:
    """It failed by a learning rate, which is folded away; a copy of a run that is done leaves all folded."""
    page = visit("new_run", **{"from": str(computed.failed)})
    assert page.text_input(key="new_run.align.lr").value == "1e+18"
    page = visit("new_run", **{"from": str(computed.sweep[0])})
    assert not [field for field in page.text_input if field.key == "new_run.align.lr"]
