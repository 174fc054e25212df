"""What swapped labels do to an annotator, and what shows them, on real pairs judged by models of other folds.

    python -m benchmarks label_noise --data FILE [--annotator FOLDER] [--pairs 1000] [--swapped 200] [--folds 3]

Two annotators are cross-fitted, on the labels of the file and on the same labels with some swapped at random; beside
them a rule by length and a bag of words, fitted the same way. A swap is looked for by low confidence C, which says only
how far apart the two answers are, and by a low margin signed by the given label, which says that the label is doubted.
Accuracy and calibration are against the labels of the file. Intervals: 95 %, bootstrap over prompts.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import optimize

from benchmarks.measure import Results, table, timed
from cwpo.artifacts import content_hash
from cwpo.data.files import read_rows
from cwpo.data.filtering import PairAt, Tally, first_pairs, usable_pairs
from cwpo.data.readers.shapes import reader_named
from cwpo.data.split import swap_labels, swap_place
from cwpo.records import CandidatePair
from cwpo.stages.settings import GoldSettings, SwapSettings, TrainSettings
from cwpo.statistics import calibration

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rule = Callable[[Sequence[CandidatePair], Sequence[CandidatePair]], Floats]  # (to learn from, to judge) -> score a − b
RESAMPLES = 2000
TRAIN: dict[str, Any] = {"lr": 1e-3, "batch_size": 16, "warmup_steps": 0, "schedule": "cosine", "weight_decay": 0.0,
         "max_grad_norm": 1.0}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    pairs = read_pairs(options.data, options.pairs, options.seed)
    clipped = [clip(pair, options.clip) for pair in pairs]
    texts = {pair.pair_id: pair for pair in clipped}
    share = share_that_swaps([pair.pair_id for pair in pairs], options.swapped, options.seed)
    given = swap_labels(pairs, SwapSettings(share=share, seed=options.seed))
    rules: dict[str, Rule] = {"annotator": annotator_rule(options, texts), "bag of words": words, "length": length}
    fold = folds([pair.prompt_id for pair in pairs], options.folds, options.seed)
    results = Results("label_noise", anew=True, folder=options.out)  # nothing is kept between two runs
    results.cells, results.summary = {}, {}
    margins: dict[str, Floats] = {}
    for name, rule in rules.items():
        for arm, labeled in (("clean", pairs), ("swapped", given)):
            with timed() as sample:
                margins[f"{name}, {arm}"] = cross_fit(rule, labeled, fold)
            results.cells[f"{name}, {arm}"] = [sample.as_json()]
            print(f"  {name}, {arm}: {sample.wall:.0f} s", flush=True)
    results.summary = {"setting": setting(options, pairs), **study(margins, pairs, given, options.seed)}
    results.save()
    print(table([_readable(row) for row in results.summary["detection"]]))
    print(
        table([_readable({**row, "accuracy lost": row.get("accuracy lost", "–")}) for row in results.summary["labels"]])
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Swapped labels: what they do and what shows them.")
    parser.add_argument("--data", type=Path, required=True, help="a file of pairs: .jsonl, .jsonl.gz, .csv or .parquet")
    parser.add_argument("--annotator", default="facebook/opt-125m", help="backbone: a model folder or a hub id")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs to use, whole prompts by a seeded hash")
    parser.add_argument("--swapped", type=int, default=200, help="how many of their labels to swap")
    parser.add_argument("--folds", type=int, default=3, help="parts for cross-fitting, by prompt")
    parser.add_argument("--epochs", type=float, default=2.0, help="passes of the annotator over its labels")
    parser.add_argument("--clip", type=int, default=300, help="characters of an answer that the annotator reads")
    parser.add_argument("--max-length", type=int, default=384, help="tokens of prompt and answer that it reads")
    parser.add_argument("--seed", type=int, default=0, help="pairs, swaps, folds, training and bootstrap")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the result")
    return parser


def read_pairs(file: Path, count: int, seed: int) -> list[CandidatePair]:
    """The pairs of a file as the data stage reads them, `count` of them."""
    found: list[PairAt] = usable_pairs(read_rows(file), reader_named("any"), Tally(), seen=set())
    pairs = [at.pair for at in first_pairs(found, count, evaluation_seed=seed)]
    if len(pairs) < count:
        raise SystemExit(f"{file.name} has {len(pairs)} usable pairs: lower --pairs.")
    return pairs


def clip(pair: CandidatePair, characters: int) -> CandidatePair:
    """The pair with the beginnings of its answers, so that a small model on a small machine can read them."""
    return replace(pair, response_a=pair.response_a[:characters], response_b=pair.response_b[:characters])


def share_that_swaps(pair_ids: Sequence[str], count: int, seed: int) -> float:
    """The share at which exactly `count` of these labels are swapped."""
    places = np.sort([swap_place(pair_id, seed) for pair_id in pair_ids])
    return float(places[count]) if count < len(places) else 1.0


def folds(prompt_ids: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """The fold of each pair: whole prompts, in the order of a seeded hash, dealt out in turn."""
    order = sorted(set(prompt_ids), key=lambda name: hashlib.sha256(f"fold:{seed}:{name}".encode()).hexdigest())
    place = {name: at % count for at, name in enumerate(order)}
    return np.array([place[name] for name in prompt_ids])


def cross_fit(rule: Rule, labeled: Sequence[CandidatePair], fold: NDArray[np.int64]) -> Floats:
    """Score a − score b of every pair, each from what was learned on the other folds."""
    scores = np.zeros(len(labeled))
    for part in np.unique(fold):
        scores[fold == part] = rule(
            [pair for pair, own in zip(labeled, fold, strict=True) if own != part],
            [pair for pair, own in zip(labeled, fold, strict=True) if own == part],
        )
    return scores


def annotator_rule(options: argparse.Namespace, texts: dict[str, CandidatePair]) -> Rule:
    """The program's own annotator, trained and asked as the stages do it."""
    from benchmarks.workload import context
    from cwpo.annotation.annotator import train_scorer
    from cwpo.annotation.labeling import score_pairs
    from cwpo.models.load import ModelRef, load_annotator
    from cwpo.models.logps import forward_path
    from cwpo.models.tokenization import encode_pairs

    settings = GoldSettings(
        model=options.annotator, revision=None, precision="fp32", max_length=options.max_length, seed=options.seed,
        dropout=0.0, train=TrainSettings(**TRAIN, epochs=options.epochs),
    )  # fmt: skip

    def learn(labeled: Sequence[CandidatePair], hidden: Sequence[CandidatePair]) -> Floats:
        ctx = context(settings)
        read = [replace(texts[pair.pair_id], human_label=pair.human_label) for pair in labeled]
        train_scorer(ctx, read, heldout_fraction=None, form="annotator")
        model, tokenizer = load_annotator(
            ModelRef(artifact=ctx.out), store=ctx.store, device="cpu", seed=0, dropout=None
        )
        path = forward_path(model.eval(), device="cpu", precision="fp32", log=ctx.reporter.log)
        rows = encode_pairs([texts[pair.pair_id] for pair in hidden], tokenizer, max_length=options.max_length).rows
        if len(rows) < len(hidden):
            print(f"  {len(hidden) - len(rows)} of {len(hidden)} pairs do not fit the annotator: ties", flush=True)
        scores = score_pairs(path, rows, ctx)
        said = {row.pair_id: score for row, score in zip(rows, scores[:, 0] - scores[:, 1], strict=True)}
        return np.array([said.get(pair.pair_id, 0.0) for pair in hidden])

    return learn


def length(labeled: Sequence[CandidatePair], hidden: Sequence[CandidatePair]) -> Floats:
    """Logistic regression on the difference of lengths alone, without intercept: a and b are in no order."""
    lead = _lead(labeled) * np.where(_a_wins(labeled), 1, -1)
    slope = optimize.minimize_scalar(
        lambda w: np.logaddexp(0.0, -w * lead).mean(), bounds=(-10, 10), method="bounded"
    ).x
    return slope * _lead(hidden)


def words(labeled: Sequence[CandidatePair], hidden: Sequence[CandidatePair]) -> Floats:
    """Logistic regression on the difference of weighted word counts of the two whole answers."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = TfidfVectorizer(min_df=2, sublinear_tf=True)
    vectors.fit([text for pair in labeled for text in (pair.response_a, pair.response_b)])

    def differences(pairs: Sequence[CandidatePair]) -> Any:
        return vectors.transform([p.response_a for p in pairs]) - vectors.transform([p.response_b for p in pairs])

    model = LogisticRegression(fit_intercept=False, max_iter=1000).fit(differences(labeled), _a_wins(labeled))
    scores: Floats = model.decision_function(differences(hidden))
    return scores


def _lead(pairs: Sequence[CandidatePair]) -> Floats:
    """Thousands of characters by which answer a is longer."""
    return np.array([len(pair.response_a) - len(pair.response_b) for pair in pairs]) / 1000


def _a_wins(pairs: Sequence[CandidatePair]) -> Flags:
    return np.array([pair.human_label == "a" for pair in pairs])


def study(
    margins: dict[str, Floats], pairs: Sequence[CandidatePair], given: Sequence[CandidatePair], seed: int
) -> dict[str, Any]:
    """Every figure with its interval; margins: "rule, labels learned from" -> score a − score b."""
    truth, said = _a_wins(pairs), _a_wins(given)
    swapped = truth != said
    resamples = prompt_resamples([pair.prompt_id for pair in pairs], seed)
    labels = [{"rule": name, **judged(scores, truth, resamples)} for name, scores in margins.items()]
    for row, with_noise in zip(labels[::2], labels[1::2], strict=True):
        both = (margins[row["rule"]], margins[with_noise["rule"]])
        with_noise["accuracy lost"] = estimate(lambda at, b=both: lost(*b, truth, at), resamples, len(truth))
    return {
        "chance": {"auroc": 0.5, "precision": float(swapped.mean())},
        "detection": [{"rule": name, **detected(scores, said, swapped, resamples)} for name, scores in margins.items()],
        "labels": labels,
    }


def detected(scores: Floats, said: Flags, swapped: Flags, resamples: Sequence[NDArray[np.intp]]) -> dict[str, Any]:
    """How well low C and a low signed margin point at swapped labels; precision among as many as were swapped."""
    signed, sure = np.where(said, scores, -scores), calibration.confidence(np.abs(scores))
    count = int(swapped.sum())
    found = {}
    for name, values in (("C", sure), ("signed margin", signed)):
        found[f"AUROC {name}"] = estimate(lambda at, v=values: auroc_of_low(v[at], swapped[at]), resamples, len(said))
        found[f"precision@{count} {name}"] = estimate(
            lambda at, v=values: precision_of_low(v[at], swapped[at], count), resamples, len(said)
        )
    return found


def judged(scores: Floats, truth: Flags, resamples: Sequence[NDArray[np.intp]]) -> dict[str, Any]:
    """Accuracy and calibration against the labels of the file; ECE beside what perfect calibration would show."""
    sure, right = calibration.confidence(np.abs(scores)), agrees(scores, truth)
    null = calibration.ece_null(sure)
    return {
        "accuracy": estimate(lambda at: float(right[at].mean()), resamples, len(truth)),
        "Brier": estimate(lambda at: calibration.brier(sure[at], right[at]), resamples, len(truth)),
        "mean C": float(sure.mean()),
        "2 accuracy - 1": float(2 * right.mean() - 1),
        "ECE": calibration.ece(sure, right),
        "ECE null": null.mean,
        "ECE null, 95 % below": null.high,
    }


def agrees(scores: Floats, truth: Flags) -> Flags:
    """Whether the higher score is the one of the file; a tie says a, as everywhere, and a and b are in no order."""
    return (scores >= 0) == truth


def lost(clean: Floats, noisy: Floats, truth: Flags, at: NDArray[np.intp]) -> float:
    """Accuracy without the noise less accuracy with it, on the same pairs."""
    return float(agrees(clean, truth)[at].mean() - agrees(noisy, truth)[at].mean())


def auroc_of_low(values: Floats, swapped: Flags) -> float:
    """Chance that a swapped pair has the lower value, ties as half."""
    return calibration.auroc(-values, swapped) or 0.0


def precision_of_low(values: Floats, swapped: Flags, count: int) -> float:
    """Share of swapped labels among the `count` lowest values; of tied values at the end, their mean."""
    edge = np.partition(values, count - 1)[count - 1]
    below, tied = values < edge, values == edge
    return float((swapped[below].sum() + (count - below.sum()) * swapped[tied].mean()) / count)


def prompt_resamples(prompt_ids: Sequence[str], seed: int, resamples: int = RESAMPLES) -> list[NDArray[np.intp]]:
    """Positions of the pairs of prompts drawn with replacement."""
    _, place = np.unique(np.asarray(prompt_ids), return_inverse=True)
    rows = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    rng = np.random.default_rng(seed)
    return [np.concatenate([rows[at] for at in rng.integers(0, len(rows), len(rows))]) for _ in range(resamples)]


def estimate(
    figure: Callable[[NDArray[np.intp]], float], resamples: Sequence[NDArray[np.intp]], size: int
) -> dict[str, float]:
    """A figure of all pairs with the middle 95 % of its values over the resamples."""
    values = [figure(at) for at in resamples]
    low, high = np.quantile(values, [0.025, 0.975])
    return {"value": figure(np.arange(size)), "low": float(low), "high": float(high)}


def setting(options: argparse.Namespace, pairs: Sequence[CandidatePair]) -> dict[str, Any]:
    """What decided the figures; the file by its name and content, never by its place."""
    lengths = [len(text) for pair in pairs for text in (pair.response_a, pair.response_b)]
    return {
        "data": options.data.name,
        "content": content_hash(options.data),
        "annotator": Path(options.annotator).name,
        "prompts": len({pair.prompt_id for pair in pairs}),
        "answers clipped": float(np.mean(np.array(lengths) > options.clip)),
        "train": TRAIN,
        "scipy": scipy.__version__,
        **{name: getattr(options, name) for name in
           ("pairs", "swapped", "folds", "epochs", "clip", "max_length", "seed")},
    }  # fmt: skip


def _readable(row: dict[str, Any]) -> dict[str, str]:
    """Figures with three decimals and their intervals."""
    shown = {}
    for name, value in row.items():
        if isinstance(value, dict):
            shown[name] = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        else:
            shown[name] = f"{value:.3f}" if isinstance(value, float) else str(value)
    return shown


if __name__ == "__main__":
    main()
