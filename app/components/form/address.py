"""The form of New run in an address: what it starts from, and what it holds differently from there."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.components.form.content import Form, Start, start_of
from app.components.form.field_specs import all_parts, plain_parts
from app.components.form.presets import presets_for
from app.components.form.state import DATASET, MODELS, NAMED, OTHER, datasets_of, flags, methods_of, pairs_of, plain
from app.components.frame.address import DATASETS, METHODS, OBJECTIVES, SOURCE, integer, names, texts

LONGEST = 2_000  # characters of one parameter
APART = ("dataset", "preset", *MODELS)  # written by their own rules
# Names of before: of widgets that other pages have as well, and with the kind of dataset or the run in front.
OLD = {"dataset": DATASET, "pair_s": "models", "pair_h": "models"}
OLD_FRONT = re.compile(rf"^(?:f\d+\.)?[sh]\.(?:[\w-]+\.(?=(?:{'|'.join(plain_parts())})\.))?")

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
    before = start.state()
    own_models = form.state["models"] == OTHER
    for name, value in form.state.items():
        if (name not in APART or (own_models and name in MODELS)) and value != before.get(name):
            address[name] = _shown(name, value, start.dataset)
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
    options = _options(form.start.dataset)
    told = _renamed(params)
    for name, given in sorted(told.items(), key=lambda item: item[0] != "models"):  # the fields of models hang on it
        if name not in form.state or name in ("dataset", "preset"):
            continue
        shown = [str(value)[:LONGEST] for value in (given if isinstance(given, list | tuple) else [given])]
        held = _held(form.state[name], shown, _labels(name, form.start.dataset), options.get(name))
        if name == "models" and held is not None:
            form.take(name, held)
        elif held is not None:
            form.state[name] = held
    return form


def _renamed(params: Mapping[str, Any]) -> dict[str, Any]:
    return {OLD.get(name) or OLD_FRONT.sub("", name): value for name, value in params.items()}


def _shown(name: str, value: Any, dataset: str) -> list[str]:
    """What the address says: a switch as true or false, a choice as its widget shows it."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    labels = _labels(name, dataset)
    shown = [labels.get(one, str(one)) for one in (value if isinstance(value, list) else [value])]
    return shown or [""]


def _held(now: Any, shown: Sequence[str], labels: Mapping[str, str], options: Sequence[str] | None) -> Any:
    """What the widget holds, of the kind that it holds now; None where it cannot."""
    if isinstance(now, bool):
        return shown[-1] == "true"
    back = {label: name for name, label in labels.items()}
    found = [back.get(one, one) for one in shown if one]
    if options is not None and not set(found) <= set(options):
        return None
    if isinstance(now, list):
        return found
    return found[-1] if found else ""


def _labels(name: str, dataset: str) -> Mapping[str, str]:
    if name in NAMED:
        return {key: row.label for key, row in NAMED[name].items()}
    pairs = {key: row.label for key, row in pairs_of(dataset).items()}
    return {"methods": METHODS, "objectives": OBJECTIVES, "models": pairs}.get(name, {})


def _options(dataset: str) -> dict[str, Sequence[str]]:
    """What widgets with a closed choice offer."""
    choices: dict[str, Sequence[str]] = {
        spec.path: tuple(flags(spec)) if spec.kind == "flag" else spec.options
        for part in all_parts()
        for spec in plain(part)
        if spec.kind == "flag" or (spec.kind == "choice" and spec.path not in NAMED)
    }
    lists = {"methods": tuple(methods_of(dataset)), "objectives": tuple(OBJECTIVES)}
    return {**choices, **lists, "models": (*pairs_of(dataset), OTHER)}
