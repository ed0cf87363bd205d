"""The rules of an outcome: how a run ended, and what its final figures and samples may not look like.

No rule asks what kind of data a model generates: it says which figures or facts it needs, and applies where they are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bgan_discrete.diagnosis.advice import takes_alternatives, word
from bgan_discrete.diagnosis.findings import Finding, Options, Rule, by_severity, findings
from bgan_discrete.metrics.figure import Figure

BASELINE_SHARE = 0.8
"""A model that is no nearer to the data than this part of the baseline's distance is hardly better than it."""

FEWEST_EXPECTED = 5.0
MISSING_SHARE = 0.1
"""A class is missing if the samples hold less than this part of its share in the data, where at least
`FEWEST_EXPECTED` of them would be expected."""

MANY_MISSING = 0.5
"""Shares of missing categories, summed over columns, from which on it is critical."""

CONDITIONAL_PENALTY_WEIGHT = 0.2
"""The weight of the penalty that was best for images of a class."""

MANY_REPEATED = 0.1
"""Share of training data that are there more than once, beyond the floor's copies, from which on a page says so."""

LEAST_DEPENDENCE = 0.02
PAIRS, LARGEST_PAIR = "total_variation_of_a_pair_dependent_tenth", "total_variation_of_a_pair_largest"
CRITIC = "divergence_that_a_fresh_critic_finds_0_to_1"
"""Figures by which columns that depend on each other differ from independent ones, if by so much at least."""

AUC, TREE = "auc_of_boosted_trees", "Chow-Liu tree"
TOLD_APART, ALWAYS_TOLD_APART, JUST_TOLD_APART = 0.9, 0.99, 0.6
"""Areas under the curve of a judge from outside: from the first on a model needs care, from the second on it is of no
use, and up to the third it is near the data."""

MEMBERSHIP, LEAST_MEMBERSHIP = "auc_of_an_attack_on_membership", 0.05
"""What an attack that takes rows near to samples for training rows must gain on chance, for a page to warn of it."""

DEPENDENCIES, MANY_BREAK = "rows_that_break_a_dependency_between_columns", 0.05
"""Share of samples beyond that of unseen rows that may break what one column decides of another."""

TREE_MARGIN = 0.25
"""What a figure of pairs must be above a tree's, as a part of the floor, so that it is not by chance."""

MAIN_FIGURES = ("jsd_4", "frechet_features", "frechet_pixels", PAIRS)
MOST_FLOORS = 2.0
"""Distances that say how near samples are to the data, and up to how many times their floor they are so."""

ENTROPY, ENTROPY_SHARE = "entropy_of_4_grams_bits", 0.95

SAID_BY: Mapping[str, tuple[str, ...]] = {
    "no_better_than_baseline": ("mode_collapse",),
    "entropy_low": ("mode_collapse",),
    "worse_than_tree": ("mode_collapse", "no_better_than_baseline"),
    "far_from_data": ("mode_collapse", "no_better_than_baseline", "worse_than_tree", "told_apart"),
}
"""Findings that need not be reported next to others, which are more precise about the same fault."""

MOST_EMPTY, MOST_UNKNOWN, MOST_BROKEN = 0.1, 0.01, 0.05
UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"
INTERRUPTIONS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass(frozen=True)
class Outcome:
    """What a run came to; ``was_ill`` where its training had a critical fault, so that more steps would not help."""

    figures: Mapping[str, Figure]
    facts: Mapping[str, Any]
    options: Options
    samples: Sequence[str] = ()
    was_ill: bool = False

    def has(self, *names: str) -> bool:
        """Whether all these figures, each with a floor, or facts are known."""
        known = {
            key for key, figure in self.figures.items() if figure.floor is not None and math.isfinite(figure.value)
        }
        return all(name in known or self.facts.get(name) is not None for name in names)

    def word(self, name: str) -> object:
        """What stands for a name in a rule's sentences: a figure, a fact, or an option or a way out."""
        found = {"samples": len(self.samples), "noun": "samples", **self.facts, **self.figures}
        return found[name] if name in found else word(self.options, name)

    def floor(self, name: str) -> float:
        """A figure's floor; 0 without one."""
        return self.figures[name].floor or 0.0

    def baseline(self, name: str, of: str = "independent") -> float:
        """A figure's value for a baseline; NaN where there is none."""
        found = self.figures[name].baselines.get(of)
        return math.nan if found is None else found

    @property
    def stopped_by(self) -> str:
        """What ended the training; empty where an error did, or it is not known."""
        return "" if self.has("failure") else str((self.facts.get("training") or {}).get("stopped_by", ""))


OF_DATA = (
    "mode_collapse", "no_better_than_baseline", "told_apart", "worse_than_tree", "entropy_low", "far_from_data",
    "membership",
)  # fmt: skip
"""Rules that compare samples with data, which says nothing where samples are to be other than the data."""

ALIKE = 0.95
"""Effective share of the data in a target's proportion, from which on its samples are to be like the data."""


def check_outcome(outcome: Outcome) -> list[Finding]:
    """What is wrong with how a run ended, with its figures and samples, the worst first; one finding for one fault."""
    found = {finding.key: finding for finding in reversed(findings(OUTCOME_RULES, outcome))}
    if (outcome.facts.get("target") or {}).get("effective_share", 1.0) < ALIKE:
        found = {key: finding for key, finding in found.items() if key not in OF_DATA}
    kept = [finding for key, finding in found.items() if not found.keys() & set(SAID_BY.get(key, ()))]
    return by_severity(list(reversed(kept)))


def _steps(o: Outcome) -> str:
    steps, wanted = int(o.facts["training"]["steps"]), o.options.get("max_steps")
    return f"{steps:,} of {wanted:,} steps" if isinstance(wanted, int) else f"{steps:,} steps"


def _longer(o: Outcome) -> str:
    bound = "max_seconds" if o.stopped_by == "max_seconds" else "max_steps"
    return f"train for longer: raise {word(o.options, bound)}"


def _train_better(o: Outcome) -> str:
    if o.was_ill:
        return "First resolve what the training's own figures show."
    return f"T{_longer(o)[1:]}; if the curves have levelled off, raise {word(o.options, 'generator_lr')}."


def _add_variety(o: Outcome) -> str:
    slower = f"lower {word(o.options, 'generator_lr')}"
    return f"{slower}, or {_longer(o)}" if takes_alternatives(o.options) else f"{word(o.options, 'press')}, or {slower}"


def _reach_classes(o: Outcome) -> str:
    # Digits by their label were far better with a penalty of 0.2 than of 1.
    if o.options.get("conditional") and (o.options.get("penalty_weight") or 0) > CONDITIONAL_PENALTY_WEIGHT:
        return f"lower {word(o.options, 'penalty_weight')} to {CONDITIONAL_PENALTY_WEIGHT}"
    return word(o.options, "press")


def _copies_expected(o: Outcome) -> float:
    """Share of copies among new real data.

    Images and texts are mostly held out by their content: where the data repeat themselves, the floor has fewer copies
    than new data have, which are about as many as training data that are there more than once.
    """
    return max(o.floor("copies"), float(o.facts.get("training_repeated") or 0.0))


def _has_too_many_copies(o: Outcome) -> bool:
    """Copies beyond what new real data would hold, and beyond chance."""
    count, expected = o.figures["copies"].count, _copies_expected(o)
    # Where every valid text is known, there are few of them, and a right sample has often been seen.
    if count < 1 or "valid" in o.figures:
        return False
    chance = 4 * math.sqrt(max(expected, 1 / count) * (1 - min(expected, 1.0)) / count)
    return o.figures["copies"].value > expected + max(0.01, chance)


def _read_by_repeats(o: Outcome) -> bool:
    """Whether the data repeat themselves so much that the floor of copies misleads."""
    is_many = o.facts["training_repeated"] >= o.floor("copies") + MANY_REPEATED
    return is_many and "valid" not in o.figures and not _has_too_many_copies(o)


def _unique_rate_of_real(o: Outcome) -> float:
    """Share of different ones among as many real samples.

    Where the language is known and finite, that of independent draws from it: the floor's texts are fewer and no two of
    them are the same.
    """
    count = int(o.facts.get("num_samples") or 0)
    if count and o.has("distinct_valid", "coverage") and o.floor("distinct_valid") and o.floor("coverage"):
        size = o.floor("distinct_valid") / o.floor("coverage")
        return size * -math.expm1(-count / size) / count
    return o.floor("unique_rate")


def _depends(o: Outcome, name: str) -> bool:
    """Whether a figure tells independent columns from real rows, as it does where columns depend on each other."""
    floor, baseline = o.floor(name), o.baseline(name)
    return baseline > 2 * floor and baseline - floor > LEAST_DEPENDENCE


def _is_as_independent(o: Outcome, name: str) -> bool:
    """Whether a figure that tells independent columns from real rows hardly tells the samples from them."""
    floor, baseline = o.floor(name), o.baseline(name)
    return _depends(o, name) and o.figures[name].value - floor > BASELINE_SHARE * (baseline - floor)


def _noise_of_auc(o: Outcome) -> float:
    """Two standard errors of the difference of two areas near 1/2, each of so many rows on a side."""
    return 2 / math.sqrt(3 * max(o.figures[AUC].count, 1))


def _noise_of_attack(o: Outcome) -> float:
    """The standard error of an area of 1/2, of so many rows on a side."""
    return 1 / math.sqrt(6 * max(o.figures[MEMBERSHIP].count, 1))


def _cost_of_auc(o: Outcome, of: str) -> float:
    """How far the area of a baseline is from the best, beyond that of the model; NaN without it."""
    return o.figures[AUC].cost(o.baseline(AUC, of)) - o.figures[AUC].cost(o.figures[AUC].value)


def _has_worse_pairs_than_tree(o: Outcome) -> bool:
    """By the pairs that a tree is made of, unless boosted trees, which see all columns at once, prefer the model."""
    is_preferred = o.has(AUC) and _cost_of_auc(o, TREE) > _noise_of_auc(o)
    margin = max(TREE_MARGIN * o.floor(PAIRS), LEAST_DEPENDENCE)
    return not is_preferred and o.figures[PAIRS].value - o.baseline(PAIRS, TREE) > margin


def _draw_in_turn(o: Outcome) -> str:
    if o.options.get("generator") in ("auto", "causal"):
        return _longer(o)
    return f"take `generator causal`, which draws one column after the other, or {_longer(o)}"


def _is_told_apart(o: Outcome, from_: float) -> bool:
    """Whether an area is at least so large, or as far below 1/2, and more so than by chance or for real rows."""
    figure = o.figures[AUC]
    cost = figure.cost(figure.value)
    return cost >= from_ - 0.5 and cost - figure.cost(figure.floor) > max(JUST_TOLD_APART - 0.5, _noise_of_auc(o))


def _far(name: str) -> Rule[Outcome]:
    """The rule of a distance: samples that are several times as far from the data as real ones are not like them."""
    return Rule(
        "far_from_data", "note", (name,), lambda o: (o.figures[name].ratio or 0.0) >= MOST_FLOORS,
        f"The samples are not yet like the data: '{{{name}.title}}' is {{{name}.ratio:.1f}} times that of unseen real "
        "{noun}",
        "{better}",
        {"better": _train_better},
    )  # fmt: skip


def _hardly(name: str) -> Callable[[Outcome], str]:
    return lambda o: "hardly" if o.figures[name].value < o.baseline(name) else "no"


def _missing_classes(o: Outcome) -> list[str]:
    made, shares = o.facts["class_histogram"], o.facts["class_shares"]
    count = int(o.facts.get("num_samples") or 0)
    expected = {name: share for name, share in shares.items() if share * count >= FEWEST_EXPECTED}
    return [name for name, share in expected.items() if made.get(name, 0.0) < MISSING_SHARE * share]


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return ("the class " if len(names) == 1 else "the classes ") + shown + (", ..." if len(names) > 10 else "")


def _missing_categories(o: Outcome) -> str:
    missing: Mapping[str, float] = o.facts["missing_categories"]
    count = max(int(o.facts.get("num_missing_categories") or 0), len(missing))
    shown = ", ".join(f"{name!r} ({share:.1%})" for name, share in list(missing.items())[:5])
    what = "category of a column is" if count == 1 else "categories of columns are"
    return f"{count:,} {what} missing from the samples, or nearly so: {shown}{', ...' if count > 5 else ''}"


def _empty(o: Outcome) -> int:
    return sum(not text for text in o.samples)


def _broken(o: Outcome) -> int:
    return sum(UNKNOWN_CHARACTER in text for text in o.samples)


def _always(o: Outcome) -> bool:
    return True


OUTCOME_RULES: tuple[Rule[Outcome], ...] = (
    Rule(
        "failed", "critical", ("failure",), _always,
        "The run ended with an error: {failure}",
        "Correct what the error names; where a loss or gradient is not finite, lower `generator_lr` and "
        "`discriminator_lr` or add a gradient `penalty r1`, and resume from the last checkpoint (`resume latest`).",
    ),
    Rule(
        "unfinished", "note", (), lambda o: not o.has("failure") and not o.has("training"),
        "The run has not ended, or was killed: this is what it had written so far",
        "Wait for its end, or resume from its last checkpoint (`resume latest`).",
    ),
    Rule(
        "interrupted", "warning", ("training",), lambda o: o.stopped_by in INTERRUPTIONS,
        "The run was interrupted ({stopped_by}) after {steps}; no metrics were taken",
        "Resume with the same command and `resume latest`.",
        {"stopped_by": lambda o: o.stopped_by, "steps": _steps},
    ),
    Rule(
        "stopped_early", "note", ("training",), lambda o: o.stopped_by == "max_seconds",
        "`max_seconds` ended the training after {steps}",
        "If its curves still move, give a new run more seconds; `start_from` gives it these weights.",
        {"steps": _steps},
    ),
    Rule(
        "classes_absent_from_training", "warning", ("classes_absent_from_training",),
        lambda o: bool(o.facts["classes_absent_from_training"]),
        "The training data lack {classes}, which held-out data have: the model cannot generate it",
        "Train on data of every class: see `split`, `limit` and `dataset`.",
        {"classes": lambda o: _named(o.facts["classes_absent_from_training"])},
    ),
    Rule(
        "classes_missing", "warning", ("class_histogram", "class_shares"), lambda o: bool(_missing_classes(o)),
        "{count} of {all} classes are missing, or nearly so, among {num_samples:,} samples, by the classifier: {names}",
        "To reach all classes, {reach}, or {longer}.",
        {
            "count": lambda o: len(_missing_classes(o)),
            "all": lambda o: len(o.facts["class_shares"]),
            "names": lambda o: _named(_missing_classes(o)),
            "reach": _reach_classes,
            "longer": _longer,
        },
        is_critical=lambda o: len(_missing_classes(o)) > len(o.facts["class_shares"]) / 2,
    ),
    Rule(
        "categories_missing", "warning", ("missing_categories",), lambda o: bool(o.facts["missing_categories"]),
        "{missing} (in brackets, the share in the data)",
        "To reach all categories, {press}, or {longer}.",
        {"missing": _missing_categories, "longer": _longer},
        is_critical=lambda o: sum(o.facts["missing_categories"].values()) > MANY_MISSING,
    ),
    Rule(
        "copies", "warning", ("copies",), _has_too_many_copies,
        "{copies.value:.1%} of the samples are exact copies of training {noun}; of unseen real {noun} "
        "{copies.floor:.1%} are, and of new ones about {expected:.1%} would be",
        "Train on more data (`limit`, `dataset`), for fewer steps (`max_steps`), or with a smaller generator "
        "(`generator_width`, `latent_size`).",
        {"expected": _copies_expected},
        is_critical=lambda o: o.figures["copies"].value > _copies_expected(o) + 0.5,
    ),
    Rule(
        "membership", "warning", (MEMBERSHIP,),
        lambda o: o.figures[MEMBERSHIP].value - 0.5 > max(LEAST_MEMBERSHIP, 3 * _noise_of_attack(o)),
        "The samples give away which {noun} the model was trained on: an attack that takes {noun} near to a sample for "
        f"training {{noun}} has an AUC of {{{MEMBERSHIP}.value:.3f}} (0.5: it sees nothing)",
        "Train on more data (`limit`, `dataset`), for fewer steps (`max_steps`), or with a smaller generator "
        "(`generator_width`, `latent_size`).",
    ),
    Rule(
        "dependencies_broken", "warning", (DEPENDENCIES,),
        lambda o: o.figures[DEPENDENCIES].value - o.floor(DEPENDENCIES) > MANY_BREAK,
        f"{{{DEPENDENCIES}.value:.1%}} of the samples break what one column decides of another, of unseen real "
        f"{{noun}} {{{DEPENDENCIES}.floor:.1%}}: the report names the columns",
        "To keep what columns decide, {in_turn}.",
        {"in_turn": _draw_in_turn},
    ),
    Rule(
        "data_repeat", "note", ("copies", "training_repeated"), _read_by_repeats,
        "Of the training {noun}, {training_repeated:.1%} are there more than once, but of the held-out {noun} "
        "{copies.floor:.1%} are among them: the floor is that of other {noun}, and may be that of few different ones",
        "Compare the share of copies with {training_repeated:.1%} rather than with its floor, and read the other "
        "figures with care.",
    ),
    Rule(
        "mode_collapse", "critical", ("recall",),
        lambda o: o.floor("recall") >= 0.3 and o.figures["recall"].value < 0.2 * o.floor("recall"),
        "The samples lack variety: their recall is {recall.value:.3f}, that of unseen real {noun} {recall.floor:.3f}",
        "To add variety, {variety}.",
        {"variety": _add_variety},
    ),
    Rule(
        "mode_collapse", "warning", ("unique_rate",),
        lambda o: o.figures["unique_rate"].value < 0.5 * _unique_rate_of_real(o),
        "The samples repeat each other: {unique_rate.value:.1%} of them are different {noun}, of real ones {real:.1%}",
        "To add variety, {variety}.",
        {"variety": _add_variety, "real": _unique_rate_of_real},
        is_critical=lambda o: o.figures["unique_rate"].value < 0.1 * _unique_rate_of_real(o),
    ),
    Rule(
        "no_better_than_baseline", "warning", ("frechet_pixels",),
        lambda o: o.figures["frechet_pixels"].value > BASELINE_SHARE * o.baseline("frechet_pixels"),
        "The samples are {hardly} better than independent pixels: their Fréchet distance is "
        "{frechet_pixels.value:.3g}, that of the baseline {frechet_pixels.baseline:.3g}",
        "{better}",
        {"hardly": _hardly("frechet_pixels"), "better": _train_better},
    ),
    Rule(
        "no_better_than_baseline", "warning", (PAIRS,), lambda o: _is_as_independent(o, PAIRS),
        "The samples are {hardly} better than independent columns: the total variation of the pairs that depend on "
        f"each other most is {{{PAIRS}.value:.3f}}, that of the baseline {{{PAIRS}.baseline:.3f}} and of unseen real "
        f"rows {{{PAIRS}.floor:.3f}}",
        "{better}",
        {"hardly": _hardly(PAIRS), "better": _train_better},
    ),
    Rule(
        "no_better_than_baseline", "warning", (CRITIC,), lambda o: _is_as_independent(o, CRITIC),
        "The samples are {hardly} better than independent columns: the divergence that a fresh critic finds is "
        f"{{{CRITIC}.value:.3f}}, that of the baseline {{{CRITIC}.baseline:.3f}} and of unseen real rows "
        f"{{{CRITIC}.floor:.3f}}",
        "{better}",
        {"hardly": _hardly(CRITIC), "better": _train_better},
    ),
    Rule(
        "no_better_than_baseline", "warning", ("jsd_4",),
        lambda o: o.figures["jsd_4"].value > o.baseline("jsd_4", "Markov 1"),
        "The samples are no better than a Markov model of single characters: their JSD-4 is {jsd_4.value:.3f} bits, "
        "that of the Markov model {markov:.3f}",
        "{better}",
        {"markov": lambda o: o.baseline("jsd_4", "Markov 1"), "better": _train_better},
    ),
    Rule(
        "told_apart", "warning", (AUC,), lambda o: _is_told_apart(o, TOLD_APART),
        "A judge from outside tells the samples from unseen real {noun}: the AUC of boosted trees is "
        f"{{{AUC}.value:.3f}} (0.5 is best), that of training {{noun}} {{{AUC}.floor:.3f}}",
        "The columns do not depend on each other as in the data: {in_turn}.",
        {"in_turn": _draw_in_turn},
        is_critical=lambda o: _is_told_apart(o, ALWAYS_TOLD_APART),
    ),
    Rule(
        "worse_than_tree", "warning", (AUC,), lambda o: -_cost_of_auc(o, TREE) > _noise_of_auc(o),
        "The samples are worse than a Chow-Liu tree, which needs a second: the AUC of boosted trees is "
        f"{{{AUC}.value:.3f}} (0.5 is best), that of the tree {{tree:.3f}}",
        "To learn more than pairs of columns, {in_turn}.",
        {"tree": lambda o: o.baseline(AUC, TREE), "in_turn": _draw_in_turn},
    ),
    Rule(
        "worse_than_tree", "warning", (PAIRS,), _has_worse_pairs_than_tree,
        "The samples are worse than a Chow-Liu tree, which needs a second: the total variation of the pairs that "
        f"depend on each other most is {{{PAIRS}.value:.3f}}, that of the tree {{tree:.3f}} and of unseen real "
        f"{{noun}} {{{PAIRS}.floor:.3f}}",
        "To learn more than pairs of columns, {in_turn}.",
        {"tree": lambda o: o.baseline(PAIRS, TREE), "in_turn": _draw_in_turn},
    ),
    Rule(
        "entropy_low", "warning", (ENTROPY,), lambda o: o.figures[ENTROPY].value < ENTROPY_SHARE * o.floor(ENTROPY),
        "The samples are less varied than the data: the entropy of their 4-grams is "
        f"{{{ENTROPY}.value:.2f}} bits, that of as many unseen real {{noun}} {{{ENTROPY}.floor:.2f}}",
        "To add variety, {variety}.",
        {"variety": _add_variety},
    ),
    Rule(
        "far_from_data", "note", (AUC,), lambda o: _is_told_apart(o, JUST_TOLD_APART),
        "The samples are not yet like the data: the AUC of boosted trees is "
        f"{{{AUC}.value:.3f}} (0.5 is best), that of training {{noun}} {{{AUC}.floor:.3f}}",
        "{better}",
        {"better": _train_better},
    ),
    *map(_far, MAIN_FIGURES),
    Rule(
        "critic_blind", "note", (CRITIC, LARGEST_PAIR),
        lambda o: _depends(o, LARGEST_PAIR) and o.baseline(CRITIC) - o.floor(CRITIC) <= LEAST_DEPENDENCE,
        "The fresh critic does not tell even independent columns from real rows: it finds a divergence of "
        f"{{{CRITIC}.baseline:.3f}}, though there are columns that depend on each other",
        "Read the figures of the pairs instead, or give it more rows (`holdout`, `num_samples`).",
    ),
    Rule(
        "empty_texts", "warning", ("unknown_share",), lambda o: _empty(o) > max(2, MOST_EMPTY * len(o.samples)),
        "{empty} of {samples} samples are empty texts",
        "Leave empty documents out of the data, or train on full windows (`layout window`).",
        {"empty": _empty},
        is_critical=lambda o: _empty(o) == len(o.samples),
    ),
    Rule(
        "unknown_tokens", "warning", ("unknown_share",),
        lambda o: o.facts["unknown_share"] > MOST_UNKNOWN or _broken(o) > max(2, MOST_BROKEN * len(o.samples)),
        "{unknown_share:.1%} of the training tokens are unknown to the vocabulary, and {broken} of {samples} samples "
        "hold an unknown one",
        "Raise {vocabulary_size}, or take `tokenizer sentencepiece`.",
        {"broken": _broken},
    ),
)  # fmt: skip
