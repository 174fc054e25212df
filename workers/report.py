"""What a comparison shows to people, in one place: GRA rows, paired differences, the sentence, the tables, the figures.

Used by pages, command line, demo and exports alike. Everything here is pure: rows of db.queries in, values out.
"""

from workers.beside import END_METRICS, Beside, beside
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
from workers.matched import FrontierRow, MatchedRow, frontier_rows, frontiers, matched_differences
from workers.sentences import verdict_sentence, what_the_seed_moved
from workers.tables import (
    Table,
    difference_cells,
    difference_numbers,
    gra_cells,
    gra_numbers,
    matched_cells,
    matched_numbers,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
)

__all__ = [
    "END_METRICS",
    "Beside",
    "ComparedRun",
    "DifferenceRow",
    "FrontierRow",
    "GraRow",
    "MatchedRow",
    "Table",
    "beside",
    "count",
    "difference_cells",
    "difference_numbers",
    "differences",
    "duration",
    "frontier_rows",
    "frontiers",
    "gra_cells",
    "gra_numbers",
    "gra_table",
    "interval",
    "matched_cells",
    "matched_differences",
    "matched_numbers",
    "number",
    "p_value",
    "pairs_against",
    "percent",
    "planned_pairs",
    "points",
    "points_interval",
    "setting_key",
    "size",
    "to_csv",
    "to_json",
    "to_latex",
    "to_markdown",
    "verdict_sentence",
    "what_the_seed_moved",
]
