"""What is said of a named annotator: where it comes from, how right it was, what to beware of."""

from collections.abc import Iterator

from app.components.frame.formats import counted, dataset_name, share
from cwpo.config.catalog import short_name
from cwpo.report.numbers import number, percent
from db.records import LabelFigures, NamedAnnotatorRow


def provenance(row: NamedAnnotatorRow) -> str:
    """Model, data, share of labels, seed; then what its labels were worth on each data it met."""
    kind = "" if row.kind == "bradley_terry" else f"{row.kind} "
    learned = f" ({counted(row.pairs, 'pair')})" if row.pairs else ""
    first = (
        f"{kind}{short_name(row.model)}, trained on {share(row.label_fraction)} of {dataset_name(row.dataset)}"
        f"{learned}, seed {row.seed}"
    )
    return ". ".join([first, *dict.fromkeys(_figures(row)), *([row.note.rstrip(".")] if row.note else [])]) + "."


def overlap(row: NamedAnnotatorRow, dataset: str) -> str:
    """Labels of pairs that it learned from are no labels of unseen pairs; empty where the data are others."""
    if row.dataset != dataset:
        return ""
    return (
        f"It learned from these data (split seed {row.split_seed}, {share(row.label_fraction)}): with another split it "
        "labels pairs whose human labels it has seen; its accuracy is of the others alone."
    )


def _figures(row: NamedAnnotatorRow) -> Iterator[str]:
    for one in row.figures:
        if judged := _judged(one):
            yield f"On {counted(one.n, 'pair')} of {dataset_name(one.dataset)}: {judged}"
    if row.temperature is not None:
        yield f"Fitted temperature {number(row.temperature)}"


def _judged(one: LabelFigures) -> str:
    accuracy = one.accuracy_human if one.accuracy_human is not None else one.accuracy_truth
    if accuracy is None:
        return ""
    words = [f"{percent(accuracy)} right", f"2·accuracy − 1 is {number(2 * accuracy - 1)}"]
    if one.mean_confidence is not None:
        words.append(f"mean C {number(one.mean_confidence)}")
    if one.ece is not None:
        words.append(f"ECE {number(one.ece, 3)}")
    return ", ".join(words)
