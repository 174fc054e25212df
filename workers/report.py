"""What a comparison shows to people, in one place: GRA rows, paired differences, the sentence, the tables, the figures.

Used by pages, command line, demo and exports alike. Everything here is pure: rows of db.queries in, values out.
"""

from workers.comparison import (
    ComparedRun,
    DifferenceRow,
    GraRow,
    differences,
    gra_table,
    pairs_against,
    planned_pairs,
    setting_key,
)
from workers.figures import (
    count,
    duration,
    interval,
    number,
    p_value,
    percent,
    points,
    points_interval,
    size,
)
from workers.listings import config_numbers, decile_cells, decile_numbers, run_numbers, stage_numbers
from workers.sentences import verdict_sentence, what_the_seed_moved
from workers.tables import (
    Table,
    difference_cells,
    difference_numbers,
    gra_cells,
    gra_numbers,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
)

__all__ = [
    "ComparedRun",
    "DifferenceRow",
    "GraRow",
    "Table",
    "config_numbers",
    "count",
    "decile_cells",
    "decile_numbers",
    "difference_cells",
    "difference_numbers",
    "differences",
    "duration",
    "gra_cells",
    "gra_numbers",
    "gra_table",
    "interval",
    "number",
    "p_value",
    "pairs_against",
    "percent",
    "planned_pairs",
    "points",
    "points_interval",
    "run_numbers",
    "setting_key",
    "size",
    "stage_numbers",
    "to_csv",
    "to_json",
    "to_latex",
    "to_markdown",
    "verdict_sentence",
    "what_the_seed_moved",
]
