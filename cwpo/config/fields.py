"""The fields of a run's configuration and what follows from them, before any check whether they fit. Torch-free."""

from typing import Any, Literal

from pydantic import Field

from cwpo.bounds import most
from cwpo.config import catalog
from cwpo.config.parts import (
    AlignConfig,
    AnnotatorConfig,
    DataConfig,
    EvaluationConfig,
    ExecutionConfig,
    ModelConfig,
    Part,
    Seeds,
    SftConfig,
    WeightingConfig,
)


class RunFields(Part):
    """Everything that a run's configuration may say; `cwpo.config.run.RunConfig` is what has passed all checks."""

    name: str = Field("", max_length=200, description="what the run is called; does not change it")
    method: str = Field("cw", description=f"{', '.join(catalog.METHODS)}; N is written top:30")
    top_percent: float | None = Field(
        None, gt=0, le=100, description="N of top, top_true, random and bottom, in percent"
    )
    objective: str = Field("dpo", description=", ".join(catalog.OBJECTIVES))
    seed: int = Field(0, ge=0, le=most.SEED, description="drives split, annotator, SFT and alignment")
    data: DataConfig = Field(default_factory=DataConfig, description="pairs, filter, label fraction")
    model: ModelConfig = Field(default_factory=ModelConfig, description="annotator and policy")
    annotator: AnnotatorConfig = Field(default_factory=AnnotatorConfig, description="annotator training")
    weighting: WeightingConfig = Field(default_factory=WeightingConfig, description="margins to weights")
    sft: SftConfig = Field(default_factory=SftConfig, description="supervised fine-tuning")
    align: AlignConfig = Field(default_factory=AlignConfig, description="preference optimization")
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig, description="answers and gold reward")
    seeds: Seeds = Field(default_factory=Seeds, description="fixes single seeds")
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, description="how it is run; never changes it")
    rules: Literal[1, 2] = Field(
        2,
        description="2: related prompts stay together when pairs are divided, equal answers tie, and an existing "
        "annotator is judged on prompts that it was not trained on; 1: as runs before had it",
    )
    salt: str = Field("", max_length=100, description="any text: forces a fresh execution of every stage")

    @property
    def is_sandbox(self) -> bool:
        return self.data.dataset == "sandbox"

    @property
    def weighting_name(self) -> str:
        """The weighting in force: the method's own unless another is chosen."""
        return self.weighting.name or catalog.METHODS[self.method].weighting

    @property
    def weighting_values(self) -> dict[str, Any]:
        """The parameters that the weighting in force reads."""
        given = {**self.weighting.model_dump(), "percent": self.top_percent}
        return {name: given[name] for name in catalog.WEIGHTINGS[self.weighting_name].fields}

    @property
    def annotator_kind(self) -> catalog.AnnotatorKind:
        """The method's own kind of annotator, else the configured one."""
        return catalog.METHODS[self.method].annotator or self.annotator.kind

    @property
    def needs_annotator(self) -> bool:
        """Whether an annotator labels pairs of the run: for its labels, or for the margins that weigh other labels."""
        return self.takes_weak_labels or catalog.WEIGHTINGS[self.weighting_name].needs_margin

    @property
    def takes_weak_labels(self) -> bool:
        """Whether the policy learns from the annotator's labels."""
        return catalog.METHODS[self.method].labels == "weak"

    @property
    def trains_annotator(self) -> bool:
        """Whether the run trains its annotator: it needs one, and no existing one is named."""
        return self.needs_annotator and self.annotator.use is None

    @property
    def fits_temperature(self) -> bool:
        """Whether a second annotator is held against held-out labeled pairs."""
        asked = self.annotator.calibrate or self.weighting_values.get("temperature", 0) is None
        return asked and self.needs_annotator

    @property
    def method_label(self) -> str:
        own = self.weighting_name == catalog.METHODS[self.method].weighting
        words = "" if own else catalog.weighting_label(self.weighting_name, self.weighting_values)
        percent = self.top_percent if catalog.METHODS[self.method].needs_percent else None
        label = catalog.method_label(self.method, percent, words)
        return label if self.align.online is None else f"{label} · {catalog.ONLINE}"

    def seed_of(self, part: Literal["split", "annotator", "sft", "align"]) -> int:
        """The seed of one part: its own if fixed, else the run's."""
        own = getattr(self.seeds, part)
        return self.seed if own is None else int(own)
