"""Reading rows without gradient: every batch asks whether to stop, and no stage that scores is deaf."""

from functools import partial

import numpy as np
import pytest
import torch

from cwpo.annotation.annotator import heldout_nll, margins_of
from cwpo.annotation.labeling import score_pairs
from cwpo.errors import Cancelled, ModelError
from cwpo.models.logps import forward_path, response_logps, response_scores
from cwpo.models.reading import read, values_of
from cwpo.stages.context import Execution, WorkContext
from cwpo.training.reference import reference_table
from tests.cwpo import random_models as tiny
from tests.cwpo.recording import RecordingReporter

ROWS = tiny.pairs(12, seed=3)


@pytest.fixture
def path():
    return forward_path(tiny.scorer("opt", torch.float64).eval(), device="cpu", precision="fp32", log=print)


def asked_after(calls: int, **more) -> WorkContext:
    """Asks to stop at call number `calls`, 0 the first; small batches."""
    answers = iter([False] * calls + [True] * 100)
    return WorkContext(execution=Execution(tokens_per_batch=40), should_stop=lambda: next(answers), **more)


def test_values_stand_in_the_order_of_the_rows_whatever_the_batches(path):
    small, large = (WorkContext(execution=Execution(tokens_per_batch=tokens)) for tokens in (40, 10_000))
    one, other = (
        values_of(ctx, ROWS, lambda batch: response_scores(path, batch), stopped="no", columns=2)
        for ctx in (small, large)
    )
    assert one.shape == (12, 2)
    assert one.dtype == np.float64
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_progress_counts_rows_and_a_stop_says_its_sentence(path):
    heard = RecordingReporter()
    ctx = WorkContext(execution=Execution(tokens_per_batch=40), reporter=heard)
    batches = list(read(ctx, ROWS, lambda batch: response_scores(path, batch), stopped="no", unit="pairs"))
    assert len(heard.progresses) == len(batches) > 3
    assert heard.progresses[-1] == (12, 12, "pairs")
    with pytest.raises(Cancelled, match="Stopped here"):
        list(read(asked_after(2), ROWS, lambda batch: response_scores(path, batch), stopped="Stopped here."))


@pytest.mark.parametrize("calls", [0, 2])
def test_every_scoring_loop_hears_a_stop(path, calls):
    """Held-out labels, temperatures, weak labels and the reference, before the first batch and within."""
    labels = {row.pair_id: 0 for row in ROWS}
    policy = forward_path(tiny.policy("opt", torch.float64).eval(), device="cpu", precision="fp32", log=print)
    loops = [
        lambda ctx: heldout_nll(path, ROWS, labels, ctx, "bradley_terry"),
        lambda ctx: margins_of(path, ROWS, ctx, "bradley_terry"),
        lambda ctx: score_pairs(path, ROWS, ctx),
        lambda ctx: reference_table(policy, ROWS, ctx),
    ]
    for loop in loops:
        with pytest.raises(Cancelled):
            loop(asked_after(calls))


def test_what_is_not_a_finite_number_is_never_handed_on():
    """One broken weight of the model: a sentence that counts the rows, instead of a table with holes."""
    model = tiny.policy("opt")
    with torch.no_grad():
        model.get_input_embeddings().weight[5] = float("nan")
    rows = tiny.pairs(8, seed=1)
    path = forward_path(model.eval(), device="cpu", precision="fp32", log=print)
    with pytest.raises(ModelError, match=r"no finite number for \d+ of 8 rows: use precision fp32"):
        values_of(WorkContext(), rows, partial(response_logps, path), stopped="", columns=2)
