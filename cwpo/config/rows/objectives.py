"""The objectives that a run can name: rows only, free of torch; `cwpo/training/objectives.py` has the functions."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ObjectiveRow:
    """A per-example loss on policy and reference log-probabilities."""

    name: str
    label: str
    source: str
    formula: str
    # beside the log-probabilities: "margin" (the method must supply it), "token_stats" of the policy, and of a whole
    # step "gap" (how far its mean h is above the usual) or "kl" (mean log-ratio of mismatched answers)
    needs: tuple[str, ...] = ()
    fields: tuple[str, ...] = ("beta",)  # fields of `align` that it reads


OBJECTIVES: Mapping[str, ObjectiveRow] = {
    row.name: row
    for row in (
        ObjectiveRow(
            name="dpo",
            label="DPO",
            source="Rafailov et al. 2023; CW-PO eq. 9",
            formula="−log σ(βh)",
        ),
        ObjectiveRow(
            name="ipo",
            label="IPO",
            source="Azar et al. 2024; CW-PO eq. 10",
            formula="(h − 1/(2β))²",
            fields=("beta", "ipo_reduction"),
        ),
        ObjectiveRow(
            name="rdpo",
            label="rDPO",
            source="Chowdhury et al. 2024; CW-PO eq. 11",
            formula="[−(1−ε) log σ(βh) + ε log σ(−βh)] / (1−2ε)",
            fields=("beta", "label_noise"),
        ),
        ObjectiveRow(
            name="cdpo",
            label="cDPO",
            source="Mitchell 2023",
            formula="−(1−ε) log σ(βh) − ε log σ(−βh)",
            fields=("beta", "label_noise"),
        ),
        ObjectiveRow(
            name="odpo",
            label="ODPO",
            source="Amini et al. 2024",
            formula="−log σ(βh − α log Δ)",
            needs=("margin",),
            fields=("beta", "odpo_alpha"),
        ),
        ObjectiveRow(
            name="simpo",
            label="SimPO",
            source="Meng et al. 2024",
            formula="−log σ(β(mean log π(y⁺) − mean log π(y⁻)) − γ)",
            fields=("beta", "simpo_gamma"),
        ),
        ObjectiveRow(
            name="wpo",
            label="WPO",
            source="Zhou et al. 2024",
            formula="−min(1, e^(l⁺ + l⁻)) log σ(βh)",
            needs=("token_stats",),
        ),
        ObjectiveRow(
            name="bdpo",
            label="β-DPO",
            source="Wu et al. 2024",
            formula="−log σ(β′h), β′ = β(1 + a(mean h of the step − its running mean))",
            needs=("gap",),
            fields=("beta", "beta_dynamics"),
        ),
        ObjectiveRow(
            name="kto",
            label="KTO",
            source="Ethayarajh et al. 2024",
            formula="½[1 − σ(β(r⁺ − z))] + ½[1 − σ(β(z − r⁻))], r = log π/π_ref, z its mean on mismatched pairs",
            needs=("kl",),
        ),
        ObjectiveRow(
            name="orpo",
            label="ORPO",
            source="Hong et al. 2024",
            formula="−mean log π(y⁺) − λ log σ(log odds(y⁺) − log odds(y⁻))",
            fields=("orpo_lambda",),
        ),
        ObjectiveRow(
            name="gdpo",
            label="GDPO",
            source="Furuta et al. 2024",
            formula="−log σ(β(2σ(Δ) − 1)h)",
            needs=("margin",),
        ),
        ObjectiveRow(
            name="fa",
            label="FA-DPO",
            source="Xu et al. 2025",
            formula="−log[(1 − ε)σ(βh) + εσ(−βh)], ε = 1 − σ(Δ)",
            needs=("margin",),
        ),
    )
}
