"""What final metrics and samples may not look like, of images, of arrays and tables, and of text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bgan_discrete.diagnosis.advice import against_collapse, longer, more_pressure, setting, train_better
from bgan_discrete.diagnosis.findings import Finding, Options, by_severity

BASELINE_SHARE = 0.8
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
_DEPENDENCE = {
    "total_variation_of_a_pair_dependent_tenth": "the total variation of the pairs that depend on each other most",
    "divergence_that_a_fresh_critic_finds_0_to_1": "the divergence that a fresh critic finds",
}
"""Figures of rows by which columns that depend on each other differ from independent ones, if by so much at least."""

MOST_EMPTY, MOST_UNKNOWN, MOST_BROKEN = 0.1, 0.01, 0.05
UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def check_image_metrics(report: Mapping[str, Any], options: Options, training_is_ill: bool = False) -> list[Finding]:
    """Judge the final metrics of an image model.

    Args:
        report: As in ``report.json``: ``figures``, ``num_samples``, and where there are labels ``class_histogram`` and
            ``class_shares``.
        options: The run's options by their names.
        training_is_ill: Whether `check_training` has found something critical, so that more steps would not help.

    Returns:
        What is wrong, the worst first.
    """
    figures: Mapping[str, Mapping[str, Any]] = report.get("figures") or {}
    findings = _check_classes(report, options)
    copies = figures.get("copies")
    if copies:
        findings += _check_copies(copies["value"], copies["floor"], _compared(report), "images", _repeated(report))
    recall = figures.get("recall")
    if recall and _both(recall, "floor") and recall["floor"] >= 0.3 and recall["value"] < 0.2 * recall["floor"]:
        findings.append(
            Finding(
                "mode_collapse",
                "critical",
                f"The samples lack variety: their recall is {recall['value']:.3f}, that of unseen real images "
                f"{recall['floor']:.3f}.",
                against_collapse(report, options),
            )
        )
    distance = figures.get("frechet_pixels")
    has_collapsed = any(finding.key == "mode_collapse" for finding in findings)
    if (
        not has_collapsed
        and distance
        and _both(distance, "baseline")
        and distance["value"] > BASELINE_SHARE * distance["baseline"]
    ):
        findings.append(
            Finding(
                "no_better_than_baseline",
                "warning",
                f"The samples are {'hardly' if distance['value'] < distance['baseline'] else 'no'} better than "
                "independent pixels: their Fréchet distance is "
                f"{distance['value']:.3g}, that of the baseline {distance['baseline']:.3g}.",
                train_better(report, options, training_is_ill),
            )
        )
    return by_severity(findings)


def check_array_metrics(report: Mapping[str, Any], options: Options, training_is_ill: bool = False) -> list[Finding]:
    """Judge the final metrics of a model of arrays or tables.

    Args:
        report: As in ``report.json``: ``figures``, ``num_samples`` and ``block_size``.
        options: The run's options by their names.
        training_is_ill: Whether `check_training` has found something critical, so that more steps would not help.

    Returns:
        What is wrong, the worst first.
    """
    figures: Mapping[str, Mapping[str, Any]] = report.get("figures") or {}
    findings = []
    copies = figures.get("copies_of_training_rows")
    if copies:
        findings += _check_copies(copies["value"], copies["floor"], _compared(report), "rows")
    unique = figures.get("unique_rate")
    if unique and _both(unique, "floor") and unique["value"] < 0.5 * unique["floor"]:
        findings.append(
            Finding(
                "mode_collapse",
                "critical" if unique["value"] < 0.1 * unique["floor"] else "warning",
                f"The samples repeat each other: {unique['value']:.1%} of them are different rows, of unseen real ones "
                f"{unique['floor']:.1%}.",
                against_collapse(report, options),
            )
        )
    findings += _check_categories(report, options)
    findings += _check_dependence(report, options, training_is_ill)
    return by_severity(findings + _check_critic(figures))


def check_text_metrics(
    report: Mapping[str, Any],
    options: Options,
    samples: Sequence[str] = (),
    unknown_share: float = 0.0,
    training_is_ill: bool = False,
) -> list[Finding]:
    """Judge the final metrics and some samples of a text model.

    Args:
        report: As in ``report.json``: ``rows`` and ``num_samples``.
        options: The run's options by their names.
        samples: Texts of the final model.
        unknown_share: Share of the training tokens that are unknown to the vocabulary.
        training_is_ill: Whether `check_training` has found something critical, so that more steps would not help.

    Returns:
        What is wrong, the worst first.
    """
    rows: Mapping[str, Mapping[str, float]] = report.get("rows") or {}
    model, floor, findings = rows.get("model", {}), rows.get("floor", {}), []
    unique, real_unique = model.get("unique rate"), _unique_rate_of_real(floor, int(report.get("num_samples") or 0))
    if unique is not None and real_unique and unique < 0.5 * real_unique:
        findings.append(
            Finding(
                "mode_collapse",
                "critical" if unique < 0.1 * real_unique else "warning",
                f"The samples repeat each other: {unique:.1%} of them are different texts, of real ones "
                f"{real_unique:.1%}.",
                against_collapse(report, options),
            )
        )
    # Where every valid text is known, there are few of them, and a right sample has often been seen.
    if model and "valid" not in model:
        real = floor.get("copies of training")
        findings += _check_copies(model.get("copies of training"), real, _compared(report), "texts", _repeated(report))
    weak, order = model.get("JSD-4"), rows.get("Markov 1", {}).get("JSD-4")
    if weak is not None and order is not None and weak > order:
        findings.append(
            Finding(
                "no_better_than_baseline",
                "warning",
                f"The samples are no better than a Markov model of single characters: their JSD-4 is {weak:.3f} bits, "
                f"that of the Markov model {order:.3f}.",
                train_better(report, options, training_is_ill),
            )
        )
    return by_severity(findings + _check_tokens(samples, unknown_share, options))


def _check_categories(report: Mapping[str, Any], options: Options) -> list[Finding]:
    """Categories of columns that the model hardly makes."""
    missing: Mapping[str, float] = report.get("missing_categories") or {}
    if not missing:
        return []
    count = max(int(report.get("num_missing_categories") or 0), len(missing))
    shown = ", ".join(f"{name!r} ({share:.1%})" for name, share in list(missing.items())[:5])
    what = "category of a column is" if count == 1 else "categories of columns are"
    return [
        Finding(
            "categories_missing",
            "critical" if sum(missing.values()) > MANY_MISSING else "warning",
            f"{count:,} {what} missing from the samples, or nearly so (in brackets, their share of the data): "
            f"{shown}{', ...' if count > 5 else ''}.",
            f"{more_pressure(options)}, or {longer(report, options)}.",
        )
    ]


def _check_dependence(report: Mapping[str, Any], options: Options, training_is_ill: bool) -> list[Finding]:
    """Samples whose columns depend on each other no more than independent ones, by the first figure that tells."""
    figures: Mapping[str, Mapping[str, Any]] = report.get("figures") or {}
    for key, what in _DEPENDENCE.items():
        figure = figures.get(key)
        if not figure or not _both(figure, "floor") or figure.get("baseline") is None:
            continue
        value, floor, baseline = figure["value"], figure["floor"], figure["baseline"]
        # Where columns have nothing to do with each other, independent ones are as good as real rows.
        tells = baseline > 2 * floor and baseline - floor > LEAST_DEPENDENCE
        if tells and value - floor > BASELINE_SHARE * (baseline - floor):
            return [
                Finding(
                    "no_better_than_baseline",
                    "warning",
                    f"The samples are {'hardly' if value < baseline else 'no'} better than independent columns: {what} "
                    f"is {value:.3f}, that of the baseline {baseline:.3f} and of unseen real rows {floor:.3f}.",
                    train_better(report, options, training_is_ill),
                )
            ]
    return []


def _check_critic(figures: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """A fresh critic that sees no difference where there is one, and whose 0 is so no praise of the model."""
    critic = figures.get("divergence_that_a_fresh_critic_finds_0_to_1", {})
    pair = figures.get("total_variation_of_a_pair_largest", {})
    if any(figure.get(name) is None for figure in (critic, pair) for name in ("floor", "baseline")):
        return []
    depends = pair["baseline"] > 2 * pair["floor"] and pair["baseline"] - pair["floor"] > LEAST_DEPENDENCE
    if not depends or critic["baseline"] - critic["floor"] > LEAST_DEPENDENCE:
        return []
    return [
        Finding(
            "critic_blind",
            "note",
            "The fresh critic does not tell even independent columns from real rows: it finds a divergence of "
            f"{critic['baseline']:.3f}, though there are columns that depend on each other.",
            "Read the figures of the pairs in its place, or give it more rows (--holdout, --num-samples).",
        )
    ]


def _unique_rate_of_real(floor: Mapping[str, float], count: int) -> float | None:
    """Share of different texts among so many real ones.

    Where the language is known and finite, that of independent draws from it: the floor's texts are fewer and no two of
    them are the same.
    """
    valid, coverage = floor.get("distinct valid"), floor.get("coverage")
    if valid and coverage and count:
        size = valid / coverage
        return size * -math.expm1(-count / size) / count
    return floor.get("unique rate")


def _check_tokens(samples: Sequence[str], unknown_share: float, options: Options) -> list[Finding]:
    """Unknown tokens and empty texts."""
    findings = []
    empty = sum(not text for text in samples)
    if samples and empty > max(2, MOST_EMPTY * len(samples)):
        findings.append(
            Finding(
                "empty_texts",
                "critical" if empty == len(samples) else "warning",
                f"{empty} of {len(samples)} samples are empty texts.",
                "Leave empty documents out of the data, or train on full windows with --layout window.",
            )
        )
    broken = sum(UNKNOWN_CHARACTER in text for text in samples)
    if unknown_share > MOST_UNKNOWN or broken > max(2, MOST_BROKEN * len(samples)):
        seen = f"{unknown_share:.1%} of the training tokens are unknown to the vocabulary"
        findings.append(
            Finding(
                "unknown_tokens",
                "warning",
                f"{seen}, and {broken} of {len(samples)} samples hold an unknown one.",
                f"Raise {setting(options, 'vocabulary_size')}, lower {setting(options, 'min_count')}, or take "
                "--tokenizer sentencepiece.",
            )
        )
    return findings


def _check_classes(report: Mapping[str, Any], options: Options) -> list[Finding]:
    """Classes that the model hardly makes, and such as the training data lack."""
    findings = []
    absent = list(report.get("classes_absent_from_training") or [])
    if absent:
        findings.append(
            Finding(
                "classes_absent_from_training",
                "warning",
                f"The training images lack {_classes(absent)}, which held-out images have: the model cannot make it.",
                "Train on images of every class: see --split, --limit and --dataset.",
            )
        )
    made, shares = report.get("class_histogram") or {}, report.get("class_shares") or {}
    count = int(report.get("num_samples") or 0)
    missing = [
        name
        for name, share in shares.items()
        if share * count >= FEWEST_EXPECTED and made.get(name, 0.0) < MISSING_SHARE * share
    ]
    if missing:
        findings.append(
            Finding(
                "classes_missing",
                "critical" if len(missing) > len(shares) / 2 else "warning",
                f"{len(missing)} of {len(shares)} classes are missing, or nearly so, among {count:,} samples, by the "
                f"classifier: {_classes(missing)}.",
                f"{_for_classes(options)}, or {longer(report, options)}.",
            )
        )
    return findings


def _for_classes(options: Options) -> str:
    # Digits by their label were far better with a penalty of 0.2 than of 1.
    if options.get("conditional") and (options.get("penalty_weight") or 0) > CONDITIONAL_PENALTY_WEIGHT:
        return f"Lower {setting(options, 'penalty_weight')} to {CONDITIONAL_PENALTY_WEIGHT}"
    return more_pressure(options)


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return ("the class " if len(names) == 1 else "the classes ") + shown + (", ..." if len(names) > 10 else "")


def _check_copies(
    value: float | None, floor: float | None, count: int, what: str, repeated: float = 0.0
) -> list[Finding]:
    """Copies of training data beyond what new real data would hold, and beyond chance.

    Images and texts are mostly held out by their content, so that where the data repeat themselves the floor has fewer
    copies than new data have: about as many as training data that are there more than once.
    """
    if value is None or floor is None or count < 1:
        return []
    unseen, floor = floor, max(floor, repeated)
    bound = floor + max(0.01, 4 * math.sqrt(max(floor, 1 / count) * (1 - min(floor, 1.0)) / count))
    if value <= bound:
        return _read_by_repeats(unseen, repeated, what)
    return [
        Finding(
            "copies",
            "critical" if value > floor + 0.5 else "warning",
            f"{value:.1%} of the samples are exact copies of training {what}; of unseen real {what} {unseen:.1%} are"
            + (f", and of the training {what} {repeated:.1%} are there more than once." if repeated > unseen else "."),
            "Train on more data (--limit, --dataset), for fewer steps (--max-steps), or with a smaller generator "
            "(--generator-width, --latent-size).",
        )
    ]


def _read_by_repeats(unseen: float, repeated: float, what: str) -> list[Finding]:
    if repeated < unseen + MANY_REPEATED:
        return []
    return [
        Finding(
            "data_repeat",
            "note",
            f"Of the training {what}, {repeated:.1%} are there more than once, but of the held-out {what} {unseen:.1%} "
            f"are among them: the floor is that of other {what}, and may be that of few different ones.",
            f"Read the share of copies against {repeated:.1%} rather than its floor, and the other figures with care.",
        )
    ]


def _repeated(report: Mapping[str, Any]) -> float:
    return float(report.get("training_repeated") or 0.0)


def _compared(report: Mapping[str, Any]) -> int:
    """Samples on a side of a comparison: of so many is the floor, whatever number the model's figures are a mean of."""
    return int(report.get("block_size") or report.get("floor_samples") or report.get("num_samples") or 0)


def _both(figure: Mapping[str, Any], other: str) -> bool:
    return figure.get("value") is not None and figure.get(other) is not None
