"""Labels and answers, for Examples, Run and Compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.records.annotators import AttributeGroup, Judged, Rival, Slice, Unsure
from db.records.runs import Cursor, RunRow


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One sampled answer with its gold score."""

    sample: int
    text: str
    tokens: int
    score: float | None
    ungrammatical: bool | None
    logp: float | None
    reference_logp: float | None


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """Both sides' answers to one held-out prompt; `outcome` 1 win, ½ tie, 0 loss, None before the evaluation."""

    run_id: int
    prompt_id: str
    prompt: str
    outcome: float | None
    aligned: tuple[Answer, ...]
    baseline: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerPage:
    """One page of answers. `total`: prompts that fit the search, of them `better` and `worse` than the baseline by
    their gold scores; `first`: the place of the first row among them, 1 is the first; `prompts`: all; `previous`: the
    cursor in front of the page, None on the first."""

    rows: tuple[AnswerRow, ...]
    next: Cursor | None
    total: int
    first: int = 1
    previous: Cursor | None = None
    prompts: int = 0
    better: int | None = None
    worse: int | None = None


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """A held-out prompt."""

    prompt_id: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class AnswerLengths:
    """How much text a run's stored answers are: prompts, answers of each model, mean characters of a prompt and of both
    models' answers to it together."""

    prompts: int
    answers: int
    prompt_characters: float
    answer_characters: float


@dataclass(frozen=True, kw_only=True)
class RescoringRow:
    """The evaluation of one run's answers by a further gold reward; `key` names it in slots."""

    run_id: int
    key: str
    slot: str
    status: str


@dataclass(frozen=True, kw_only=True)
class ConfidenceHistogram:
    """Counts of pairs per confidence bin, and of those where the human agrees; `edges` has one more."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    agree_counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Decile:
    """Agreement with the humans (and the truth, in the sandbox) in one tenth of the pairs by confidence."""

    lo: float
    hi: float
    n: int
    mean_confidence: float
    agree_human: float | None
    agree_truth: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a stage with held-out prompts says of them; `groups` of ids are related, None where it does not say."""

    dataset: str
    groups: Sequence[Sequence[str]] | None


@dataclass(frozen=True, kw_only=True)
class HeldOutPrompts:
    """Run -> the stage that holds its held-out prompts, and what each of these stages says of them."""

    stages: Mapping[int, int]
    said: Mapping[int, HeldOut]


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    """What a labels stage found out about its annotator; stages computed before these were kept lack the last eight."""

    run_id: int
    stage_id: int
    fingerprint: str
    n: int
    accuracy_human: float | None
    accuracy_truth: float | None
    human_accuracy_truth: float | None
    length_only_accuracy: float | None
    mean_confidence: float | None
    effective_sample_size: float | None
    histogram: ConfidenceHistogram
    deciles: tuple[Decile, ...]
    bag_of_words_accuracy: float | None = None
    human: Judged | None = None
    truth: Judged | None = None
    rivals: tuple[Rival, ...] = ()
    lengths: tuple[Slice, ...] = ()
    sources: tuple[Slice, ...] = ()
    attributes: tuple[AttributeGroup, ...] = ()
    unsure: Unsure | None = None
    judged: int | None = None  # pairs behind intervals, calibration, rivals and slices; fewer than n of very many
    trained_on: int | None = 0  # pairs left out, of prompts that an existing annotator met; None: not known here


@dataclass(frozen=True, kw_only=True)
class LabelsOfRun:
    """The published labels of a run. `spread`: whether its pairs have one, because several annotators, its `members`,
    or several passes labeled them."""

    stage_id: int
    attempt_id: int
    spread: bool
    members: int
    passes: int
    summary: LabelSummary


@dataclass(frozen=True, kw_only=True)
class LabeledRun:
    """A run with its labels; None before they are published."""

    row: RunRow
    labels: LabelsOfRun | None


@dataclass(frozen=True, kw_only=True)
class AnnotationRow:
    """One annotated pair with its texts."""

    id: int
    run_id: int
    pair_id: str
    prompt_id: str
    prompt: str
    response_a: str
    response_b: str
    score_a: float
    score_b: float
    margin: float
    confidence: float
    label: str
    human_label: str | None
    true_label: str | None
    agrees_human: bool | None
    spread: float | None = None  # SD of the margin over annotators or passes; None with one


@dataclass(frozen=True, kw_only=True)
class LabeledRow:
    """One pair with a human label that no annotator labeled."""

    run_id: int
    pair_id: str
    prompt_id: str
    prompt: str
    response_a: str
    response_b: str
    human_label: str | None
    true_label: str | None


@dataclass(frozen=True, kw_only=True)
class LabeledPage:
    """One page of them; `searched` pairs were looked at, and `next` may be set although `rows` is not full.

    first: the place of the first row among all, from 1; None with a text search. previous: the cursor before it."""

    rows: tuple[LabeledRow, ...]
    next: Cursor | None
    searched: int
    first: int | None = None
    previous: Cursor | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotationPage:
    """One page of annotated pairs. `total` is None with a text search, which reads at most `searched` rows a page:
    `next` may then be set although `rows` is not full, and the page offers to search further.

    first: the place of the first row in the view, from 1; None with a text search. previous: the cursor before it."""

    rows: tuple[AnnotationRow, ...]
    next: Cursor | None
    total: int | None
    searched: int | None
    first: int | None = None
    previous: Cursor | None = None
