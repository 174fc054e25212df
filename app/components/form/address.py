"""The form of New run in an address: what it starts from, and what it holds differently from there."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.components.form.configuration import datasets_of
from app.components.form.declared import MODELS, OTHER_MODELS
from app.components.form.fields import all_fields, all_parts
from app.components.form.form import Form, Start, start_of
from app.components.form.presets import presets_for
from app.components.frame.address import DATASETS, SOURCE, integer, names, texts

LONGEST = 2_000  # characters of one parameter
DATASET = "data.dataset"  # what the address calls the widget of the dataset
STARTS = ("dataset", "preset")  # what the form starts from, written by rules of their own
# Names of before: of widgets that other pages have as well, and with the kind of dataset or the run in front.
OLD = {"dataset": DATASET, "pair_s": "models", "pair_h": "models"}
_PARTS = "|".join(part for part in all_parts() if "." not in part)
OLD_FRONT = re.compile(rf"^(?:f\d+\.)?[sh]\.(?:[\w-]+\.(?=(?:{_PARTS})\.))?")

Address = dict[str, list[str]]


def address_of(form: Form) -> Address:
    """The parameters of this form; what is as it started is left out."""
    start = form.start
    address: Address = {}
    if start.source is not None:
        address[SOURCE] = [str(start.source)]
    if start.dataset != datasets_of(start.values)[0] or (start.source is None and start.dataset != "sandbox"):
        address[DATASET] = [DATASETS.get(start.dataset, start.dataset)]
    if start.preset is not None:
        address["preset"] = [presets_for(start.dataset)[start.preset].label]
    before = form.before()
    implied = MODELS if form.state["models"] != OTHER_MODELS else ()
    for name, value in form.state.items():
        if name not in (*STARTS, *implied) and value != before.get(name):
            address[name] = shown(name, value, start.dataset)
    return address


def start_from(params: Mapping[str, Any], load: Callable[[int], Mapping[str, Any]]) -> Start:
    """What an address says that the form starts from; `load` reads the configuration of a run."""
    source = integer(params, SOURCE)
    values = load(source) if source is not None else None
    given = next(iter(texts(_renamed(params), DATASET)), "")
    dataset = next(iter(names(DATASETS, (given,))), given) or datasets_of(values)[0]
    if source is not None:
        return Start(dataset=dataset, source=source, values=values)
    label = next(iter(texts(params, "preset")), "")
    return start_of(
        dataset, next((name for name, row in presets_for(dataset).items() if label in (name, row.label)), None)
    )


def form_from(params: Mapping[str, Any], load: Callable[[int], Mapping[str, Any]]) -> Form:
    """The form of an address; what no widget could hold is left out."""
    form = Form.begun(start_from(params, load))
    told = _renamed(params)
    for name, given in sorted(told.items(), key=lambda item: item[0] != "models"):  # the fields of models hang on it
        if name not in form.state or name in STARTS:
            continue
        shown = [str(value)[:LONGEST] for value in (given if isinstance(given, list | tuple) else [given])]
        held = _held(name, form.state[name], shown, form.start.dataset)
        if name == "models" and held is not None:
            form.take(name, held)
        elif held is not None:
            form.state[name] = held
    return form


def _renamed(params: Mapping[str, Any]) -> dict[str, Any]:
    return {OLD.get(name) or OLD_FRONT.sub("", name): value for name, value in params.items()}


def shown(name: str, value: Any, dataset: str) -> list[str]:
    """What the address says: a switch as true or false, a choice as its widget shows it."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    labels = _labels(name, dataset)
    shown = [labels.get(one, str(one)) for one in (value if isinstance(value, list) else [value])]
    return shown or [""]


def _held(name: str, now: Any, shown: Sequence[str], dataset: str) -> Any:
    """What the widget holds, of the kind that it holds now; None where it cannot."""
    if isinstance(now, bool):
        return shown[-1] == "true"
    labels = _labels(name, dataset)
    back = {label: name for name, label in labels.items()}
    found = [back.get(one, one) for one in shown if one]
    if labels and all_fields()[name].closed and not set(found) <= set(labels):
        return None
    if isinstance(now, list):
        return found
    return found[-1] if found else ""


def _labels(name: str, dataset: str) -> Mapping[str, str]:
    """What a widget with a choice offers; a switch of a part offers nothing."""
    return all_fields()[name].offered(dataset) if name in all_fields() else {}
