"""`cwpo plan`: on which cards the stages of a run fit, and in which way, and what difference its runs can see. Needs no
database, no network and no GPU."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cwpo.config.run import RunConfig, expand
from cwpo.errors import ConfigError, DataError
from cwpo.models.shape import known_config, shape_of
from cwpo.models.sizes.fits import CARDS
from cwpo.outlook.doubts import doubts
from cwpo.outlook.foreseen import failures
from cwpo.stages.graph import build
from workers.cli.config_file import read_config
from workers.machine.paths import home
from workers.plan import fits, needs, words
from workers.plan.memory import model_of

Add = Callable[..., argparse.ArgumentParser]


def add_verbs(verbs: Any, add: Add) -> None:
    """The verb `plan`."""
    plan = add(verbs, "plan", _plan, "say on which cards each stage fits, and how; without CONFIG the whole catalog")
    plan.add_argument("config", metavar="CONFIG.yaml", type=Path, nargs="?", help="configuration of a run or sweep")
    plan.add_argument("--set", metavar="A.B=C", action="append", default=[], dest="sets", help="override one field")
    plan.add_argument(
        "--gpu",
        metavar="GB",
        type=float,
        help=f"memory of a card: {', '.join(map(str, CARDS))} (default: all of these)",
    )


def _plan(options: argparse.Namespace) -> int:
    from cwpo.compare import power
    from workers.cli.console import make_console, show_notes, show_table

    cards = (options.gpu,) if options.gpu else CARDS
    if options.gpu is not None and not options.gpu > 0:
        raise ConfigError("--gpu", f"must be the GB of a card, not {options.gpu:g}.")
    console = make_console()
    if options.config is None:
        _catalog(cards, console)
        return 0
    runs = expand(read_config(options.config, options.sets))
    config = fits.on_gpu(runs[0])
    specs = build(config)
    models = {model for spec in specs.values() if (model := model_of(config, spec)) is not None}
    configs = {model: known_config(*model, home()) for model in models}
    shapes = {model: None if sizes is None else shape_of(sizes) for model, sizes in configs.items()}
    found = fits.stage_fits(config, specs, shapes)
    for card in cards:
        show_table(
            f"On a card of {card:g} GB", list(fits.HEADINGS), [list(row) for row in fits.rows(found, card)], console
        )
        show_notes(fits.cache_lines(found, card), console)
    unknown = sorted(name for (name, _), shape in shapes.items() if shape is None)
    said = [f"The sizes of {', '.join(unknown)} are unknown here: download or name them first."] if unknown else []
    single = words.single_sentence(needs.single((config, spec) for spec in specs.values()))
    planned = power.planned(runs, power.SeedSpread(looked=False))
    show_table(words.NEEDS, words.needs_headings(planned), words.needs_rows(planned), console)
    seen = [words.power_sentence(planned), words.NEEDS_MEANT]
    show_notes([*said, *filter(None, [single]), *seen, fits.EXPLAINED, *_foreseen(config)], console)
    return 0


def _foreseen(config: RunConfig) -> list[str]:
    """What the run would be refused for, and what will likely disappoint in it."""
    try:
        refused = [f"{field}: {sentence}" for field, sentence in failures(config, home())]
    except DataError as error:  # the file is not here, or cannot be read
        return [str(error)]
    return [*refused, *doubts(config, home())]


def _catalog(cards: tuple[float, ...], console: Any) -> None:
    """Every pair and every judge: how its stages fit each card."""
    from workers.cli.console import show_notes, show_table

    found = [*fits.catalog_fits(), *((label, [fit]) for label, fit in fits.judge_fits())]
    for card in cards:
        rows = [[name, fits.sentence(stages, card).partition(": ")[2]] for name, stages in found]
        show_table(f"On cards of {card:g} GB", ["pair or judge", "stages"], rows, console)
    show_notes([fits.EXPLAINED], console)
