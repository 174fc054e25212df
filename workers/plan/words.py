"""A plan as people read it, the same on the page and in the terminal."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from cwpo.compare.power import Power, Prompts, SeedSpread
from cwpo.report.numbers import NOTHING, count, duration, number, size
from cwpo.stages.kinds import label_of
from cwpo.statistics.planning import MOST_SEEDS
from workers.plan.estimate import Plan
from workers.plan.eta import Eta, StageTime

DEVICE_NAMES = {"gpu": "GPU", "cpu": "CPU"}
FIELD_NAMES = {
    "method": "methods",
    "objective": "objectives",
    "seed": "seeds",
    "data.dataset": "datasets",
    "data.label_fraction": "label fractions",
}
_REMEDIES = {
    "lora": "train a LoRA adapter (model.lora)",
    "tokens": "lower execution.tokens_per_batch",
    "checkpointing": "let execution.gradient_checkpointing follow the estimate",
}
NEEDS = "What would find 1, 2 and 4 points"
NEEDS_MEANT = (
    "By the rule of the tables of differences, four times in five. Prompts under the planned seeds may not be enough, "
    "however many: what seeds move does not average out over prompts."
)
HEADINGS = ("Stages", "new", "shared", "reused", "min")
SHARING = "Shared: one stage serves several of these runs. Reused: done before, or queued for other runs."


def product(runs: int, lists: Mapping[str, int]) -> str:
    """32 runs: 2 methods × 4 values of align.beta × 4 seeds."""
    factors = [f"{size} {FIELD_NAMES.get(field, f'values of {field}')}" for field, size in lists.items()]
    return f"{_counted(runs, 'run')}{': ' if factors else ''}{' × '.join(factors)}."


def about(seconds: float | None) -> str:
    """An estimate in its largest unit: 42 s, 11 min, 2.4 h."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return duration(seconds)
    return f"{number(seconds / 60, 0)} min" if seconds < 5_400 else f"{number(seconds / 3600, 1)} h"


def left_words(time: StageTime | None, *, running: bool) -> str:
    """What is left of a stage that runs, or what one that waits will take; what nobody knows is said as such."""
    if time is None or time.left is None:
        return "time unknown" if running else "unknown"
    return f"about {about(time.left)} left" if running else f"about {about(time.left)}"


def eta_words(eta: Eta, at: Callable[[float], datetime]) -> str:
    """When a run starts and ends, and what is before it. at: the time of day in so many seconds."""
    parts = []
    if eta.ahead:
        parts.append(f"{_counted(eta.ahead, 'stage')} of other runs before it")
    if eta.starts_in and eta.starts_in >= 1:
        parts.append(f"starts after about {about(eta.starts_in)}")
    if eta.done_in is not None:
        parts.append(f"done at about {_moment(at, eta.done_in)}")
    elif eta.no_worker:
        device = DEVICE_NAMES.get(eta.no_worker)
        parts.append(f"waits for a {device} worker: none is alive" if device else "waits for a worker: none is alive")
    elif eta.unmeasured:
        names = ", ".join(label_of(kind) for kind in eta.unmeasured)
        parts.append(f"when it is done nobody knows yet: no stage of this kind was measured ({names})")
    else:
        parts.append("nobody knows when it is done: it is further behind in the queue than is looked at")
    sentence = ", ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def eta_short(eta: Eta, at: Callable[[float], datetime]) -> str:
    """The same for a cell: `done 14:32`, `4 ahead, done 14:32`."""
    ahead = f"{count(eta.ahead)} ahead" if eta.ahead else ""
    done = f"done {_moment(at, eta.done_in)}" if eta.done_in is not None else ""
    return ", ".join(part for part in (ahead, done) if part)


def _moment(at: Callable[[float], datetime], seconds: float) -> str:
    """14:32, with the day where it is another one."""
    now, then = at(0.0), at(seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%d %b %H:%M}"


def about_size(number_of_bytes: int) -> str:
    """An estimate in two digits: 47 MB, 5.3 GB."""
    return size(float(f"{number_of_bytes:.2g}")).replace(".0 ", " ")


def rows(plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """One line per kind of stage, in the order of the graph."""
    return [
        (
            label_of(kind.kind),
            count(kind.to_compute),
            count(kind.shared - kind.wanted),
            count(kind.done + kind.wanted),
            _minutes(kind.seconds),
        )
        for kind in plan.kinds
    ]


def time_sentence(plan: Plan) -> str:
    """How much work it is on which device, and what that was estimated from."""
    if plan.unmeasured:
        names = ", ".join(label_of(kind) for kind in plan.unmeasured)
        return f"The time is unknown until one stage of each kind has run with these models: {names}."
    if not plan.seconds:
        return "Nothing is left to compute."
    shares = [_device(device, plan) for device, seconds in plan.device_seconds.items() if seconds]
    queued = ""
    if plan.stages_wanted:
        queued = ", what other runs have queued included" if plan.stages_new else ", all of it queued for other runs"
    return (
        f"Work: {'; '.join(shares)}{queued}. Estimated from earlier stages of the same kind and model, "
        "scaled by pairs × epochs or by answers, and by how many tokens those have where that is known."
    )


def memory(plan: Plan) -> str:
    """The largest need among the stages to do, as far as it is known."""
    largest = plan.memory.largest
    if largest is not None:
        return about_size(largest.bytes)
    return "unknown" if plan.memory.unknown else "none"


def memory_sentence(plan: Plan) -> str:
    """Which stage needs the most, and which ones are not in it; empty when nothing with a model is left to do."""
    unknown = _kinds(plan.memory.unknown)
    words = f"The memory is unknown for {unknown}: the sizes of its model are not on this machine." if unknown else ""
    largest = plan.memory.largest
    if largest is None:
        return words
    again = ", with gradient checkpointing" if largest.checkpointing else ""
    where = f"{_kinds([largest.kind])} on {DEVICE_NAMES[largest.device]}"
    return f"Most memory: {where}, about {about_size(largest.bytes)}{again}. {words}".strip()


def memory_warning(plan: Plan) -> str:
    """What to change when the largest stage needs more than there is; empty when it fits or nobody knows."""
    largest = plan.memory.largest
    if largest is None or not largest.exceeds:
        return ""
    there = f"{size(largest.have)} of {'GPU memory' if largest.device == 'gpu' else 'memory'}"
    *remedies, last = *(_REMEDIES[name] for name in largest.remedies), "choose a smaller model"
    again = " even with gradient checkpointing" if largest.checkpointing else ""
    return (
        f"The largest stage, {_kinds([largest.kind])}, needs about {about_size(largest.bytes)}{again}, "
        f"this machine has {there}: {', '.join(remedies)}{' or ' if remedies else ''}{last}."
    )


def existing_sentence(plan: Plan) -> str:
    """How many of the runs there are already; empty where none is."""
    there = sum(run is not None for run in plan.existing)
    return (
        f"{count(there)} of these {_counted(plan.runs, 'run')} exist already, done or to be computed." if there else ""
    )


def labels_sentence(plan: Plan) -> str:
    """How many human labels the runs train on."""
    if plan.human_labels is None:
        return "Human labels used: known once the pairs were read."
    if not plan.human_labels:
        return "No human label is used for training."
    return f"Human labels used for training: {count(plan.human_labels)}, each split counted once."


def along_sentence(plan: Plan) -> str:
    """What over-optimisation along training costs; empty where it is not asked for or done."""
    kept, best = plan.along
    said = [f"{_counted(kept, 'answer')} of models kept along the alignments"] if kept else []
    said += [f"{_counted(best, 'answer')} of baselines for their best of n"] if best else []
    if not said:
        return ""
    return f"Over-optimisation: {' and '.join(said)}, written and judged beside those of the evaluation."


def single_sentence(kinds: Sequence[str]) -> str:
    """Which kinds of stages use one card although the runs ask for several; empty where none does."""
    return f"By one process on one card, whatever execution.gpus says: {_kinds(kinds)}." if kinds else ""


def power_sentence(power: Power) -> str:
    """What difference can be seen, and where the spread between seeds comes from."""
    spread, prompts = power.spread, power.prompts
    answers = f" × {power.samples} answers" if power.samples > 1 else ""
    related = prompts.unrelated not in (None, prompts.count)
    one = f" ({count(prompts.unrelated)} where related ones count as one)" if related else ""
    size = f"{_counted(prompts.count, 'prompt')}{one}{answers} and {_counted(power.seeds, 'seed')}"
    table = "two methods" if power.comparisons == 1 else f"two methods of {power.comparisons + 1}"
    words = (
        f"{size}: no difference between {table} is found four times in five"
        if power.detectable is None
        else f"{size}: a difference of {number(100 * power.detectable, 1)} points between {table} is found four times "
        "in five"
    )
    if power.seeds == 1:
        words += ", as far as prompts tell; what another seed would change is not in it"
    return f"{words}. {_source(spread)}{_unknown(prompts)}"


def _source(spread: SeedSpread) -> str:
    """How far differences move, and where that is from."""
    sd = f"SD between seeds {number(100 * spread.sd, 1)} points"
    change = f"{number(100 * spread.changed, 0)} % of prompts change their winner"
    if spread.comparisons:
        measured = f"measured in {_counted(spread.comparisons, 'earlier difference')} on this dataset"
        if spread.discordant is None:
            return f"{sd}, {measured}. {change}: assumed."
        return f"{sd}, and {change}: {measured}."
    if not spread.looked:
        return f"{sd}, and {change}: assumed, no earlier runs were looked at."
    return f"{sd}, and {change}: assumed, as this dataset has too few runs of several methods under the same seeds."


def _unknown(prompts: Prompts) -> str:
    if prompts.unrelated is not None:
        return ""
    return (
        " Tables count related prompts as one; how many of these are related is known when runs on this dataset have "
        "been evaluated."
    )


def needs_headings(power: Power) -> tuple[str, ...]:
    """Of the table of what would find 1, 2 and 4 points."""
    sizes = [f"seeds on {_counted(power.prompts.count, 'prompt')}", f"prompts under {_counted(power.seeds, 'seed')}"]
    more = [f"seeds on {count(need.more_prompts)} prompts" for need in power.needs[:1] if _has_more(power)]
    return ("to find", *sizes, *more)


def needs_meanings(headings: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What these headings mean."""
    said = ("A true difference between two methods.", "The fewest seeds that find it.", "The fewest prompts that do.")
    return tuple(zip(headings, (*said, "The fewest seeds on that many prompts."), strict=False))


def needs_rows(power: Power) -> list[tuple[str, ...]]:
    """One line for each effect. Prompts in two digits: they are known to 2 %."""
    rows = []
    for need in power.needs:
        points = f"{number(100 * need.effect, 0)} point{'' if need.effect == 0.01 else 's'}"
        prompts = None if need.prompts is None else round(need.prompts, 2 - len(str(need.prompts)))
        cells = [_at_most(need.seeds, MOST_SEEDS), _at_most(prompts, power.prompts.most)]
        rows.append((points, *cells, *([_at_most(need.seeds_then, MOST_SEEDS)] if _has_more(power) else [])))
    return rows


def _has_more(power: Power) -> bool:
    return any(need.more_prompts > power.prompts.count for need in power.needs)


def _at_most(found: int | None, most: int) -> str:
    return f"> {count(most)}" if found is None else count(found)


def _device(device: str, plan: Plan) -> str:
    seconds, workers = plan.device_seconds[device], plan.workers.get(device, 0)
    hours = f" ({number(seconds / 3600, 2)} GPU-hours)" if device == "gpu" else ""
    alive = f"{_counted(workers, 'worker')} alive" if workers else "no worker alive, counted as one"
    return f"{duration(seconds)}{hours} on {DEVICE_NAMES[device]}, {alive}"


def _kinds(kinds: Iterable[str]) -> str:
    return ", ".join(label_of(kind) for kind in kinds)


def _minutes(seconds: float | None) -> str:
    """One decimal, and less than that said as such; empty where nothing is left to do."""
    if seconds is None:
        return NOTHING
    return "" if seconds == 0 else "< 0.1" if seconds < 3 else number(seconds / 60, 1)


def _counted(value: int, noun: str) -> str:
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"
