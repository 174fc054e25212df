"""The tables. Rows stay inside db: other packages get the frozen values of db.records."""

from db.base import Base
from db.models.installation import Artifact, Setting
from db.models.pairs import Annotation, Histogram, NamedAnnotator, Pair
from db.models.results import Evaluation, Outcome, Prompt, Sample, Score
from db.models.votes import RelabelSet, RelabelUse, Vote, VotedPair, VoteLease
from db.models.work import Attempt, LogLine, Metric, Run, RunStage, Stage, StageInput, Worker

__all__ = [
    "Annotation",
    "Artifact",
    "Attempt",
    "Base",
    "Evaluation",
    "Histogram",
    "LogLine",
    "Metric",
    "NamedAnnotator",
    "Outcome",
    "Pair",
    "Prompt",
    "RelabelSet",
    "RelabelUse",
    "Run",
    "RunStage",
    "Sample",
    "Score",
    "Setting",
    "Stage",
    "StageInput",
    "Vote",
    "VoteLease",
    "VotedPair",
    "Worker",
]
