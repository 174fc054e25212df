"""The tables. Rows stay inside db: other packages get the frozen values of db.records."""

from db.base import Base
from db.models.chats import Chat, ChatAnswer, ChatTurn
from db.models.drafts import Draft
from db.models.installation import Artifact, Setting
from db.models.keeping import Notice, RunNote, RunTag
from db.models.listing import RunValue, SavedView
from db.models.pairs import Annotation, Histogram, NamedAnnotator, Pair
from db.models.people import AuditEvent, AuditHead, Person
from db.models.recipes import Recipe
from db.models.results import Evaluation, Outcome, Prompt, Sample, Score
from db.models.votes import RelabelSet, RelabelUse, Vote, VotedPair, VoteLease
from db.models.work import Attempt, LogLine, Metric, Run, RunStage, Stage, StageInput, Worker

__all__ = [
    "Annotation",
    "Artifact",
    "Attempt",
    "AuditEvent",
    "AuditHead",
    "Base",
    "Chat",
    "ChatAnswer",
    "ChatTurn",
    "Draft",
    "Evaluation",
    "Histogram",
    "LogLine",
    "Metric",
    "NamedAnnotator",
    "Notice",
    "Outcome",
    "Pair",
    "Person",
    "Prompt",
    "Recipe",
    "RelabelSet",
    "RelabelUse",
    "Run",
    "RunNote",
    "RunStage",
    "RunTag",
    "RunValue",
    "Sample",
    "SavedView",
    "Score",
    "Setting",
    "Stage",
    "StageInput",
    "Vote",
    "VoteLease",
    "VotedPair",
    "Worker",
]
