"""What a labels stage writes: one annotated pair, and the summary of all."""

from typing import Any

PAIRS = 60


SUMMARY = {
    "n": PAIRS, "accuracy_human": 0.7, "accuracy_truth": None, "human_accuracy_truth": None,
    "length_only_accuracy": 0.55, "mean_confidence": 0.5, "effective_sample_size": 40.0,
    "histogram": {"edges": [0.0, 0.5, 1.0], "counts": [30, 30], "agree_counts": [15, 25]},
    "deciles": [
        {"lo": 0.0, "hi": 0.5, "n": 30, "mean_confidence": 0.25, "agree_human": 0.5, "agree_truth": None,
         "ci_low": 0.3, "ci_high": 0.7},
    ],
}  # fmt: skip


def annotated_pair(number: int) -> dict[str, Any]:
    """Confidence in steps of .1 with many ties; every third pair disagrees with the human."""
    return {
        "pair_id": f"p{number:03d}", "prompt_id": f"q{number:03d}",
        "prompt": f"Prompt {number} about 100% PANDAS_x Prüfung",
        "response_a": f"yes {number}", "response_b": f"no {number}", "true_label": None,
        "human_label": "b" if number % 3 == 0 else "a", "score_a": 1.0, "score_b": 0.0, "margin": 1.0,
        "confidence": (number * 7 % 10) / 10, "label": "a",
    }  # fmt: skip
