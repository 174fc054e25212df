"""The tables. Rows stay inside db: other packages get the frozen values of db.records."""

from db.base import Base
from db.models.drafts import Draft
from db.models.installation import Artifact, Setting
from db.models.pairs import Annotation, Histogram, NamedAnnotator, Pair
from db.models.results import Evaluation, Outcome, Prompt, Sample, Score
from db.models.work import Attempt, LogLine, Metric, Run, RunStage, Stage, StageInput, Worker

__all__ = [
    "Annotation",
    "Artifact",
    "Attempt",
    "Base",
    "Draft",
    "Evaluation",
    "Histogram",
    "LogLine",
    "Metric",
    "NamedAnnotator",
    "Outcome",
    "Pair",
    "Prompt",
    "Run",
    "RunStage",
    "Sample",
    "Score",
    "Setting",
    "Stage",
    "StageInput",
    "Worker",
]
