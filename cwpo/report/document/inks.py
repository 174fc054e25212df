"""The colour of each method, the same on every page and in every report."""

from collections.abc import Mapping

INK, MUTED, RULE = "#1F2328", "#6B7280", "#C9C6BD"
LIGHT: Mapping[str, str] = {
    "human": "#6B7280",
    "human_cw": "#2F5DA8",
    "human_100": "#A9AEB7",
    "human_labeled": "#6B7280",
    "weak": "#C77F1A",
    "cw": "#2F5DA8",
    "top": "#3B8A6E",
    "ws": "#8A5AA8",
    "oracle": "#1F2328",
    "soft": "#7A7F9A",
    "random": "#B4483C",
    "bottom": "#B4483C",
    "shuffled": "#B4483C",
    "normalised": "#B4483C",
    "unbiased": "#1F8FA6",
    "committee": "#6E7F2B",
    "madpo": "#B0568A",
    "correct": "#1F2328",
    "top_true": "#3B8A6E",
}
