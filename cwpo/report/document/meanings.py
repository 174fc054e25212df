"""What each heading of a table means, in one sentence: shown where the mouse rests and in reports."""

from collections.abc import Mapping, Sequence

from cwpo.report.columns import Column, Place, part

GRA_IN_WORDS = (
    "GRA is gold reward accuracy: how often the gold reward prefers the aligned model's answer to the baseline's, with "
    "ties as half."
)
CONFIDENCE_IN_WORDS = (
    "Δ is the margin between the annotator's scores of both answers, P = σ(Δ) the chance that it gives its label, and "
    "C = 2(σ(Δ) − ½) = 2P − 1 its confidence: 0 for a coin toss, 1 for certainty."
)

MEANINGS: Mapping[str, str] = {
    "setting": "Method, and what else tells these settings apart; its seeds are pooled.",
    "GRA": "Gold reward accuracy: how often the gold reward prefers this model's answer to the baseline's, ties half.",
    "95 %": "Interval that holds the true value in 95 of 100 such experiments, over seeds and prompts.",
    "prompts": "Held-out prompts that every seed answered.",
    "seeds": "The same setting with other random numbers; with one, intervals cover prompts only.",
    "ties lose": "GRA with every tie counted as a loss.",
    "no ties": "GRA of the prompts that are no tie.",
    "KL": "How far the model moved from the one that alignment started from: mean log-ratio over its own answers, as "
    "sampled; an estimate of the KL divergence at temperature 1.",
    "chosen": "Mean log-ratio of the chosen training answers to the model before alignment, at the end of training.",
    "rejected": "The same of the rejected training answers.",
    "tokens": "Mean length of an answer.",
    "baseline's tokens": "Mean length of the baseline's answers.",
    "length ratio": "Mean length over the baseline's.",
    "equal length": "GRA that a logistic model of outcome on length difference gives at no difference.",
    "equal length, 95 %": "Its interval.",
    "ungrammatical": "Share of answers that the sandbox's grammar does not produce.",
    "baseline's ungrammatical": "The same of the baseline's answers.",
    "difference": "First minus second, on the same seeds and the same prompts.",
    "points": "Difference of the two GRAs in percentage points.",
    "p, corrected": "Chance that any difference of the table is as clear as this where there is none (max-T).",
    "p": "Chance of such a result where neither is better.",
    "detectable": "The smallest true difference that tables like this, with all comparisons, find four times in five.",
    "verdict": "Different: the interval leaves 0 out. Smaller than ±1.5: all of it lies within 1.5 points of 0.",
    "KL difference": "Paired difference of the two KLs.",
    "note": "What must be known beside the figures.",
    "difference at matched KL": "First minus second, averaged over the KL that both reach.",
    "difference at each one's β": "First minus second, each at the β that other held-out prompts chose for it.",
    "first's β": "The value of β that the first was best at on the prompts that choose.",
    "second's β": "The same of the second.",
    "prompts that chose": "Held-out prompts that were for choosing β and are in no figure here.",
    "learned from": "The sources whose human labels the annotator learned from.",
    "labels pairs of": "The sources of the pairs that it labeled.",
    "tenth by C": "A tenth of the pairs by the annotator's confidence, the least sure first; or all of them.",
    "pairs in it": "How many pairs with a human label are in it.",
    "its mean C": "Mean confidence of the annotator over them.",
    "confident and wrong": "The policy prefers the other answer than the human label with a chance of 75 % or more.",
    "policy confident": "The policy gives the answer that it prefers a chance of 75 % or more.",
    "policy wrong": "It prefers the other answer than the human label.",
    "weak label wrong": "The annotator's label is the other one than the human label.",
    "wrong before": "The same of the model before alignment, by log-probability per token.",
    "weighted": "The setting under C; the points are what it gains over the same weak labels weighted alike.",
    "ECE": "Mean distance between the accuracy that C states and the one observed, in 15 bins of equal size.",
    "AUROC": "How often C is larger for a right label than for a wrong one: 0.5 is chance.",
    "labels met": "Share of the weak labels that agree with the human label.",
    "mean C": "Mean confidence over the pairs.",
    "C borne out": "The mean C that the labels met bear out: 2 × labels met − 1, as C = 2P − 1. A larger mean C is "
    "overstated.",
    "own GRA": "GRA by the gold reward that the runs were evaluated with.",
    "95 %, own": "Its interval.",
    "further GRA": "GRA of the same answers by the other gold reward.",
    "95 %, further": "Its interval.",
    "same side": "Share of prompts that both gold rewards call won, lost or tied.",
    "κ": "Cohen's κ: their agreement beyond chance, 1 is perfect and 0 is chance.",
    "95 %, κ": "Its interval.",
    "own gain": "Mean score over the baseline's, in standard deviations of the baseline's scores.",
    "further gain": "The same by the other gold reward.",
    "ρ baseline": "Spearman's ρ of both scores over the baseline's answers.",
    "ρ aligned": "Spearman's ρ of both scores over the aligned model's answers.",
    "win rate": "How often the judge model prefers this model's answer to the baseline's in both orders, ties half.",
    "same side as gold": "Share of prompts that judge model and gold reward call won, lost or tied alike.",
    "agrees with people": "Share of human labels that the judge model chooses as well, ties half.",
    "95 %, people": "Its interval.",
    "judge": "Who judged: the gold reward that the GRA was counted with, or a further one, or a judge model.",
    "pairs": "Pairs with human labels that the judge did not learn from and was tried on.",
    "corrected GRA": "GRA with the judge's errors taken out, if they do not depend on which model answered and the "
    "human labels are right: noise in them moves this figure too far from 50 %. The sandbox's oracle is the truth.",
    "95 %, corrected": "Its interval, which carries the errors of GRA and of the agreement.",
    "tied": "Share of prompts that tie.",
    "median gap": "Median distance between the scores of both answers, in SD of the scores of the baseline.",
    "longer won": "Share of prompts on which the longer answer won, ties half: 50 % where length does not matter.",
    "order": "The settings by this judge, the best first, on the seeds and prompts that all of them have.",
    "stable": "Probability that new prompts and seeds give this order again, by a bootstrap over both.",
    "best stays best": "The same for the first of the order alone.",
    "as the first judge": "Probability that this judge and the first one give one order of these settings.",
    "τ": "Kendall's τ between this judge's order and that of the first one: 1 is the same, −1 turned around.",
    "model": "A model kept along the alignment, by its step, or the best of n answers of the baseline.",
    "gold GRA": "GRA by the gold reward on the prompts of this table.",
    "95 %, gold": "Its interval.",
    "second GRA": "GRA of the same answers by the second judge.",
    "95 %, second": "Its interval.",
    "gold − second": "How much more the gold reward sees; over-optimisation where it grows while the second GRA falls.",
    "orders agree": "Share of the shown pairs on which the judge chose the same answer in both orders; others tie.",
    "first shown": "Share of verdicts for the answer shown first: 50 % where the place does not matter.",
    "questions": "Pairs shown, each order and repeat counted.",
    "unread": "Replies that named neither answer; they count for neither.",
    "pair": "Both settings, answer against answer.",
    "won": "Share of prompts on which the first setting's answer scores higher, ties half; 50 % is a draw.",
    "wins": "Prompts that the first won.",
    "ties": "Prompts with equal scores.",
    "losses": "Prompts that the first lost.",
    "second's tokens": "Mean length of the second setting's answers.",
    "human labels": "Pairs whose human label some stage trains on, and pairs of a set of later labels.",
    "training, alone": "Time of all training stages of one run, as if it shared none.",
    "evaluation, alone": "Time to answer and to score, as if it shared none.",
    "cost": "Labels and hours at the two prices.",
    "cost per point over 50 %": "Cost over the points of GRA above a draw.",
    "stage": "Kind of work.",
    "device": "Where it was computed.",
    "stages": "How many of its kind were computed.",
    "for runs": "How many runs use them.",
    "time, shared once": "Time with every shared stage counted once.",
    "time, each run alone": "Time as if no run shared a stage.",
}


def meaning_of(column: Column) -> str:
    """One sentence; "" for a column that only files have."""
    return MEANINGS.get(column.heading, "")


def glossary(columns: Sequence[Column], *places: Place) -> list[tuple[str, str]]:
    """Heading with its unit, and what it means, of the columns shown in these places."""
    shown = [column for place in places or ("main",) for column in part(columns, place)]
    return list({column.title: meaning_of(column) for column in shown if meaning_of(column)}.items())
