"""The tables of docs/study.md, from the lines of the sandbox study: `python -m benchmarks study --report`.

GRA and differences over seeds × prompts as everywhere (`cwpo.statistics.shares`, `cwpo.statistics.simultaneous`), the
prompts of one task as one; a setting is shown over the seeds that have it, a difference over the seeds that both have;
the intervals of the differences of a table hold at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.study_settings import (
    Lines,
    Met,
    Setting,
    at_its_kl,
    difference,
    gap_of,
    labels_right,
    matched,
    setting,
    tasks,
)  # fmt: skip
from cwpo.statistics.intervals import Estimate
from cwpo.statistics.shares import share
from cwpo.statistics.simultaneous import Found, Gap, together

PAGE = Path(__file__).parent.parent / "docs" / "study.md"
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"

# Words --------------------------------------------------------------------------------------------------------------


def percent(found: Setting | None) -> str:
    """ "65.1 [62.0, 68.2]", in percent."""
    if found is None:
        return "–"
    whole = share(found.outcomes, list(tasks().values()))
    return f"{100 * whole.estimate:.1f} [{100 * whole.low:.1f}, {100 * whole.high:.1f}]"


def points(found: Estimate | Found) -> str:
    return f"{_signed(100 * found.estimate)} [{_signed(100 * found.low)}, {_signed(100 * found.high)}]"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(columns), "|".join("---" for _ in columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" if index != 1 else f"|{line}|" for index, line in enumerate(lines)) + "\n"


def differences_table(rows: Sequence[tuple[str, Gap | None]]) -> str:
    """Named differences, all of which hold at once."""
    known = [(name, gap) for name, gap in rows if gap is not None]
    return table(
        ("difference", "points", "seeds", "p, corrected", "detectable, points"),
        [
            (name, points(found), str(found.seeds), f"{found.p_corrected:.3f}", _points(found.detectable))
            for (name, _), found in zip(known, together([gap for _, gap in known]), strict=True)
        ],
    )


def _points(value: float | None) -> str:
    return _number(None if value is None else 100 * value, 1)


# Sections -----------------------------------------------------------------------------------------------------------


def methods_section(lines: Lines) -> Iterator[str]:
    from benchmarks.study import METHODS, NOISES, OBJECTIVES

    for noise in NOISES:
        mine = [line for line in lines if line["group"] == "methods" and line["label"]["noise"] == noise]
        if not mine:
            continue
        yield f"### All methods, τ = {noise:g}\n"
        names = [(method, "kept") for method in METHODS] + [("top:30", "pool"), ("random:30", "pool")]
        rows = []
        for method, steps in names:
            found = [setting(mine, method=method, steps=steps, objective=objective) for objective in OBJECTIVES]
            if any(found):
                words = [text for one in found for text in (percent(one), _number(one.mean("kl") if one else None))]
                rows.append([_method(method, steps), *words, str(max(len(one.seeds) for one in found if one))])
        yield table(("method", *(text for o in OBJECTIVES for text in (f"{o}: GRA, %", "KL")), "seeds"), rows)
        for objective in OBJECTIVES:
            rows_ = []
            for method, steps in names:
                for other in ("weak", "human") if method == "cw" else ("weak",) if method != "weak" else ():
                    one = setting(mine, method=method, steps=steps, objective=objective)
                    two = setting(mine, method=other, steps="kept", objective=objective)
                    rows_.append((f"{_method(method, steps)} − {other}", difference(one, two)))
            for extra in ("random:30", "shuffled", "bottom:50"):
                mate = {"random:30": "top:30", "shuffled": "cw", "bottom:50": "cw"}[extra]
                pair = (setting(mine, method=name, steps="kept", objective=objective) for name in (mate, extra))
                rows_.append((f"{mate} − {extra}", difference(*pair)))
            if any(found is not None for _, found in rows_):
                yield f"Differences, {objective}, τ = {noise:g}:\n"
                yield differences_table(rows_)


def _method(name: str, steps: str) -> str:
    return f"{name}, equal steps" if steps == "pool" else name


def _grid(lines: Lines, group: str, first: str, second: str, title: str) -> Iterator[str]:
    mine = [line for line in lines if line["group"] == group]
    if mine:
        yield f"### {title}\n"
        rows = list(dict.fromkeys(line["label"][first] for line in mine))
        columns = list(dict.fromkeys(line["label"][second] for line in mine))
        cells = [[setting(mine, **{first: row, second: column}) for column in columns] for row in rows]
        yield table(
            (first, *(f"{second} {column:g}" for column in columns)),
            [[row, *(f"{percent(one)}, KL {_number(one.mean('kl'))}" if one else "–" for one in line)]
             for row, line in zip(rows, cells, strict=True)],
        )  # fmt: skip


def shares_section(lines: Lines) -> Iterator[str]:
    from benchmarks.study import SHARES

    yield from _grid(lines, "shares", "method", "percent", "The N % most confident labels against N % by chance, dpo")
    mine = [line for line in lines if line["group"] == "shares"]
    pairs = [[setting(mine, method=method, percent=share) for method in ("top", "random")] for share in SHARES]
    rows = [(f"top {share} % − random {share} %", difference(*pair)) for share, pair in zip(SHARES, pairs, strict=True)]
    if mine:
        yield differences_table(rows)


def fractions_section(lines: Lines) -> Iterator[str]:
    from benchmarks.study import FRACTIONS

    yield from _grid(lines, "fractions", "method", "fraction", "How many human labels, dpo")
    mine = [line for line in lines if line["group"] == "fractions"]
    rows = []
    for fraction in FRACTIONS:
        found = {m: setting(mine, method=m, fraction=fraction) for m in ("weak", "cw", "human_labeled")}
        rows.append((f"cw − weak at {fraction:g}", difference(found["cw"], found["weak"])))
        rows.append((f"weak − human_labeled at {fraction:g}", difference(found["weak"], found["human_labeled"])))
    if mine:
        yield differences_table(rows)


def beta_section(lines: Lines) -> Iterator[str]:
    from benchmarks.study import BETAS

    yield from _grid(lines, "beta", "method", "beta", "How far each method moves for its GRA, dpo")
    mine = [line for line in lines if line["group"] == "beta"]
    if not mine:
        return
    rows, apart = [], []
    for first, second in (("cw", "weak"), ("cw", "human"), ("weak", "human"), ("top:30", "weak")):
        found = matched(mine, {"method": first}, {"method": second}, BETAS)
        if found is None:
            apart.append(f"{first} − {second}")
        else:
            where, seeds = found
            name = f"{first} − {second} at the same KL, mean over {where.kl_low:.2f} to {where.kl_high:.2f} nats"
            rows.append((name, gap_of(first, second, where.gaps, seeds)))
    yield differences_table(rows)
    if apart:
        yield f"Nothing at the same KL, because no KL is reached by both under every seed: {', '.join(apart)}.\n"


def same_kl_section(lines: Lines) -> Iterator[str]:
    """What the lines hold at equal KL besides whole curves: a setting against another method's curve over β."""
    from benchmarks.study import BETAS, NOISES

    def of(group: str, **wanted: Any) -> Setting | None:
        return setting([line for line in lines if line["group"] == group], **wanted)

    def plain(method: str, steps: str = "kept") -> Setting | None:
        return of("methods", method=method, steps=steps, objective="dpo", noise=NOISES[0])

    def swept(method: str) -> list[Setting | None]:
        return [of("beta", method=method, beta=beta) for beta in BETAS]

    if not any(swept("weak")):
        return
    yield "### The curves of cw and weak at the KL of other settings, dpo\n"
    others = {"shuffled": plain("shuffled"), "top:30, equal steps": plain("top:30", "pool")}
    others |= {f"top:30, β {beta:g}": of("beta", method="top:30", beta=beta) for beta in BETAS}
    pairs = [(method, name, at_its_kl(other, swept(method))) for name, other in others.items()
             for method in ("cw", "weak")]  # fmt: skip
    yield from _at_their_kl([(f"{method} − {name}", name, met, True) for method, name, met in pairs])
    beside = {name: plain(name) for name in ("oracle", "human", "human_100", "ws", "normalised", "soft")}
    beside |= {f"top {share} %": of("shares", method="top", percent=share) for share in (50, 75)}
    rest = [(f"{name} − weak", name, at_its_kl(other, swept("weak")), False) for name, other in beside.items()]
    apart = {"proportional": of("sampling", how="proportional"),
             **{f"human, β {beta:g}": of("beta", method="human", beta=beta) for beta in BETAS}}  # fmt: skip
    rest += [(f"cw − {name}", name, at_its_kl(other, swept("cw")), True) for name, other in apart.items()]
    own = at_its_kl(plain("top:30"), [plain("random:30"), plain("random:30", "pool")])
    rest.append(("top:30 − random:30 between its own steps and the pool's", "top:30", own, False))
    yield "What else has a curve beside it:\n"
    yield from _at_their_kl(rest)


def _at_their_kl(rows: Sequence[tuple[str, str, Met | None, bool]]) -> Iterator[str]:
    """`rows`: name, whose KL, what was met, whether the curve stands first; then which curves do not get there."""
    known = [
        (f"{name}, at the KL of {whose}, {met.kl:.2f} nats", met.turned if curve_first else met.gap)
        for name, whose, met, curve_first in rows
        if met is not None
    ]
    if known:
        yield differences_table(known)
    if apart := [name for name, _, met, _ in rows if met is None]:
        yield f"Nothing at that KL, because the curve reaches it under fewer than two seeds: {', '.join(apart)}.\n"


def noise_section(lines: Lines) -> Iterator[str]:
    from benchmarks.study import ANNOTATORS, DROPOUTS, MATCHING, MEMBERS, PASSES

    mine = [line for line in lines if line["group"] == "noise"]
    if not mine:
        return
    yield "### An annotator with noise of its own per pair, dpo\n"
    names = ("weak", "cw", "shuffled", *(f"weak, β {beta:g}" for beta in MATCHING), f"weak, {PASSES} passes",
             f"weak, {MEMBERS} annotators")  # fmt: skip
    rows, gaps, level = [], [], []
    for annotator in ANNOTATORS:
        for dropout in DROPOUTS:
            found = {name: setting(mine, annotator=annotator, dropout=dropout, what=name) for name in names}
            weak = found["weak"]
            where = f"{annotator}, dropout {dropout:g}"
            accuracy = _number(weak.mean("accuracy_truth") if weak else None, 3)
            rows.append([where, accuracy, *(_with_kl(found[name]) for name in names)])
            gaps.append((f"cw − weak, {where}", difference(found["cw"], weak)))
            gaps.append((f"cw − shuffled, {where}", difference(found["cw"], found["shuffled"])))
            knots = [weak, *(found[f"weak, β {beta:g}"] for beta in MATCHING)]
            met = at_its_kl(found["cw"], knots)
            gaps.append((f"cw − weak at the KL of cw, {where}", met.gap if met else None))
            for many in (f"{PASSES} passes", f"{MEMBERS} annotators"):
                name, more = f"{many} − weak, {where}", found[f"weak, {many}"]
                gaps.append((f"{many} − cw, {where}", difference(more, found["cw"])))
                if more is not None:
                    level.append((name, many, at_its_kl(more, knots), False))
    yield table(("annotator", "accuracy", *names), rows)
    yield differences_table(gaps)
    yield "Averaged labels against those of one pass or annotator, on the curve of uniform weak labels:\n"
    yield from _at_their_kl(level)


def _with_kl(found: Setting | None) -> str:
    return "–" if found is None else f"{percent(found)}, KL {_number(found.mean('kl'))}"


def sampling_section(lines: Lines) -> Iterator[str]:
    mine = [line for line in lines if line["group"] == "sampling"]
    if not mine:
        return
    yield "### Confidence-proportional pair sampling, cw, dpo\n"
    found = {how: setting(mine, how=how) for how in ("all", "proportional")}
    rows = []
    for how, one in found.items():
        if one is not None:
            figures = (_number(one.mean("kl")), _number(one.mean("kept")))
            rows.append((how, percent(one), *figures, str(len(one.seeds))))
    yield table(("pairs a step computes", "GRA, %", "KL", "share computed", "seeds"), rows)
    yield differences_table([("proportional − all", difference(found["proportional"], found["all"]))])


def again_section(lines: Lines) -> Iterator[str]:
    mine = [line for line in lines if line["group"] == "again"]
    if not mine:
        return
    yield "### Again on fresh seeds\n"
    runs: dict[str, Setting | None] = {
        "cw, proportional": setting(mine, objective="dpo", method="cw", how="proportional")
    }
    for objective in ("dpo", "ipo"):
        for method in ("weak", "cw", "ws", "soft"):
            runs[f"{method}, {objective}"] = setting(mine, objective=objective, method=method, how="all")
    rows = []
    for name, found in runs.items():
        if found is not None:
            accuracy = _number(found.mean("accuracy_truth"), 3)
            rows.append((name, percent(found), _number(found.mean("kl")), accuracy, str(len(found.seeds))))
    yield table(("run", "GRA, %", "KL", "labels right", "seeds"), rows)
    pairs = [("soft, dpo", "weak, dpo"), ("soft, ipo", "weak, ipo"), ("ws, dpo", "weak, dpo"), ("ws, ipo", "weak, ipo"),
             ("cw, dpo", "weak, dpo"), ("cw, ipo", "weak, ipo"), ("cw, proportional", "cw, dpo")]  # fmt: skip
    gaps = [(f"{first} − {second}", difference(runs[first], runs[second])) for first, second in pairs]
    yield differences_table(gaps)
    better = labels_right(runs["ws, dpo"], runs["weak, dpo"])
    if better is not None:
        words = f"{points(better)} points, p {better.p:.3f}, a paired t over seeds"
        yield f"Labels right, the annotator of ws minus that of weak: {words}.\n"


def pooled_section(lines: Lines) -> Iterator[str]:
    """cw − weak over both sets of seeds: the question of the paper, asked once with everything that is there."""
    rows = []
    for objective in ("dpo", "ipo"):
        gaps = [
            difference(
                setting(mine, objective=objective, method="cw", **told),
                setting(mine, objective=objective, method="weak", **told),
            )
            for mine, told in (
                ([line for line in lines if line["group"] == "methods"], {"noise": 1.5, "steps": "kept"}),
                ([line for line in lines if line["group"] == "again"], {"how": "all"}),
            )
        ]
        known = [gap for gap in gaps if gap is not None]
        if len(known) == len(gaps):
            cells = pd.concat([gap.cells for gap in known])
            pooled = gap_of(f"cw {objective}", f"weak {objective}", cells.to_numpy(), list(cells.index))
            rows.append((f"cw − weak, {objective}", pooled))
    if rows:
        yield "### cw − weak over all sixteen seeds\n"
        yield differences_table(rows)
        yield "Over seeds alone, so of these prompts and no others: t interval, and how many seeds are above 0.\n"
        yield table(("difference", "points", "seeds above 0"), [(name, *_over_seeds(gap)) for name, gap in rows])


def _over_seeds(gap: Gap) -> tuple[str, str]:
    means = gap.cells.to_numpy(dtype=np.float64).mean(axis=1)
    half = float(stats.t.isf(0.025, means.size - 1)) * float(means.std(ddof=1)) / means.size**0.5
    ends = [f"{_signed(100 * (means.mean() + sign * half))}" for sign in (-1, 1)]
    return f"{_signed(100 * means.mean())} [{', '.join(ends)}]", f"{(means > 0).sum()} of {means.size}"


SECTIONS: tuple[Callable[[Lines], Iterator[str]], ...] = (
    methods_section, shares_section, fractions_section, beta_section, same_kl_section, noise_section, sampling_section,
    again_section, pooled_section,
)  # fmt: skip


def body(found: Iterable[Mapping[str, Any]]) -> str:
    """All tables, as they stand between the markers of docs/study.md."""
    lines = list(found)
    return "\n".join(text for section in SECTIONS for text in section(lines))


def write(found: Iterable[Mapping[str, Any]]) -> None:
    """Put the tables between the markers of docs/study.md."""
    lines = list(found)
    head, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{body(lines)}\n{END}{rest.split(END)[1]}")
    print(f"{PAGE} is up to date: {len(lines)} runs.")
