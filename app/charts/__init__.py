"""Charts by name. Each is a file with `prepare(rows) -> data` and `draw(data, look) -> Figure`, both pure."""

from collections.abc import Mapping
from types import ModuleType

from app.charts import (
    confidence_bins,
    confidence_deciles,
    confidence_histogram,
    gra_by_kl,
    gra_forest,
    gra_kl_frontier,
    top_share,
    training_curves,
)

CHARTS: Mapping[str, ModuleType] = {
    "gra_forest": gra_forest,
    "gra_by_kl": gra_by_kl,
    "gra_kl_frontier": gra_kl_frontier,
    "confidence_bins": confidence_bins,
    "confidence_histogram": confidence_histogram,
    "confidence_deciles": confidence_deciles,
    "top_share": top_share,
    "training_curves": training_curves,
}
