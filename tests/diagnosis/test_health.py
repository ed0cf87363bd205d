"""The words about a run's health: every illness is named, and a healthy run hears nothing."""

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bgan_discrete.config import ArrayTrainingConfig, ImageTrainingConfig, TextTrainingConfig
from bgan_discrete.diagnosis import (
    Finding,
    HealthWatch,
    Outcome,
    check_outcome,
    check_training,
    check_window,
    split_options,
)
from bgan_discrete.diagnosis.outcome_rules import DEPENDENCIES, MEMBERSHIP, OUTCOME_RULES
from bgan_discrete.diagnosis.training_rules import COURSE_RULES, WINDOW_RULES
from bgan_discrete.diagnosis.watch import REPEAT_STEPS
from bgan_discrete.metrics.figure import Figure
from bgan_discrete.runs.train import train
from bgan_discrete.training.run_log import RunLog, read_metrics

OPTIONS = {**ImageTrainingConfig().to_flat()}
HEALTHY = {
    "d_real": 0.53, "d_fake": 0.47, "log_ratio_real": 0.12, "log_ratio_fake": -0.12, "discriminator_loss": 1.33,
    "generator_loss": -0.01, "discriminator_gradient_norm": 0.3, "generator_gradient_norm": 0.05, "ess_fraction": 0.95,
    "max_weight": 0.06, "log_beta": -0.05, "log_weight_std": 0.2,
}  # fmt: skip
SMALL = {"generator_width": 8, "discriminator_width": 8, "batch_size": 16, "threads": 1, "device": "cpu",
         "log_interval": 10, "sample_interval": 0, "num_samples": 0}  # fmt: skip


def lines(count: int = 40, interval: int = 50, begun: int = 0, **changes: float) -> list[dict[str, Any]]:
    return [{"step": begun + (i + 1) * interval, **HEALTHY, **changes} for i in range(count)]


def keys(findings: list[Finding]) -> list[str]:
    return [finding.key for finding in findings]


def test_where_a_target_weighs_draws_the_discriminator_is_not_at_one_half() -> None:
    aimed = {"valid": 0.4, "without_valid": 0.1, "weighted_reward": 1.0}
    far = {"d_real": 0.95, "d_fake": 0.03, "log_beta": -4.0, "ess_fraction": 0.1}
    assert keys(check_training(lines(**far), OPTIONS)) != []
    assert check_training(lines(**far, **aimed), OPTIONS) == []
    assert check_window(lines(**far, **aimed), OPTIONS) == []
    assert keys(check_training(lines(**{**aimed, "valid": 0.01, "without_valid": 0.9}), OPTIONS)) == ["few_valid"]


def test_samples_that_are_to_differ_from_the_data_are_not_blamed_for_it() -> None:
    auc = Figure("AUC of boosted trees", 0.9, "half", 0.5, {"independent": 0.95}, count=4000)

    def found(**facts: Any) -> set[str]:
        outcome = Outcome({"auc_of_boosted_trees": auc}, facts, OPTIONS)
        return set(keys(check_outcome(outcome))) - {"unfinished"}

    assert found() == found(target={"effective_share": 0.99}) != set()
    assert found(target={"effective_share": 0.4}) == set()


def test_healthy_figures_give_no_word() -> None:
    assert check_training(lines(), OPTIONS) == []
    assert check_window(lines(), OPTIONS) == []


ILLNESSES: list[tuple[str, str, dict[str, float], dict[str, Any], str]] = [
    ("discriminator_saturated", "critical", {"d_real": 0.98, "d_fake": 0.02, "log_ratio_real": 4, "log_ratio_fake": -4},
     {}, "`discriminator_lr`"),
    ("discriminator_dead", "critical", {"discriminator_gradient_norm": 1e-9}, {}, "`discriminator_lr`"),
    ("discriminator_weak", "warning", {"log_ratio_real": 0.0001, "log_ratio_fake": 0.0, "log_weight_std": 0.01}, {},
     "`discriminator_lr` (now 0.002)"),
    ("few_draws", "warning", {"ess_fraction": 0.6, "log_weight_std": 1.2}, {"num_draws": 2}, "`num_draws` (now 2)"),
    ("ess_collapsed", "warning", {"ess_fraction": 0.06, "log_weight_std": 3.0}, {}, "`estimator rloo`"),
    ("log_beta_off", "warning", {"log_beta": 2.5}, {}, "`discriminator_steps`"),
    ("log_beta_off", "warning", {"log_beta": -2.5}, {}, "`penalty_weight`"),
    ("generator_dead", "warning", {"generator_gradient_norm": 1e-9}, {}, "`num_draws`"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "severity", "changes", "options", "advice"), ILLNESSES, ids=lambda value: str(value)[:30]
)
def test_each_illness_is_named_with_its_number_and_a_flag(
    key: str, severity: str, changes: dict[str, float], options: dict[str, Any], advice: str
) -> None:
    (finding,) = check_training(lines(**changes), {**OPTIONS, **options})
    assert (finding.key, finding.severity) == (key, severity)
    assert advice in finding.advice
    assert any(character.isdigit() for character in finding.seen)
    assert finding.seen.endswith(".")


ALTERNATIVES = {"credit": "alternatives"}
BOUNDS: list[tuple[list[str], dict[str, Any], dict[str, float], dict[str, float]]] = [
    (["discriminator_saturated"], {}, {"d_real": 0.89, "d_fake": 0.09}, {"d_real": 0.91, "d_fake": 0.09}),
    (["discriminator_saturated"], {}, {"d_real": 0.91, "d_fake": 0.11}, {"d_real": 0.91, "d_fake": 0.09}),
    (["discriminator_saturated"], ALTERNATIVES, {"d_real": 0.94, "d_fake": 0.04}, {"d_real": 0.96, "d_fake": 0.04}),
    (["discriminator_dead"], {}, {"discriminator_gradient_norm": 1.1e-6}, {"discriminator_gradient_norm": 0.9e-6}),
    (["generator_dead"], {}, {"generator_gradient_norm": 1.1e-7}, {"generator_gradient_norm": 0.9e-7}),
    (["log_beta_off"], {}, {"log_beta": 1.45}, {"log_beta": 1.55}),
    (["log_beta_off"], {}, {"log_beta": -1.45}, {"log_beta": -1.55}),
    (["log_beta_off"], ALTERNATIVES, {"log_beta": -3.9}, {"log_beta": -4.1}),
    (["discriminator_weak"], {}, {"log_ratio_real": -0.109}, {"log_ratio_real": -0.111}),
    (["few_draws"], {"num_draws": 2}, {"ess_fraction": 0.6}, {"ess_fraction": 0.6, "log_weight_std": 0.51}),
    (["ess_collapsed"], {"num_draws": 20}, {"ess_fraction": 0.2}, {"ess_fraction": 0.185}),
    (["ess_collapsed"], {"num_draws": 2}, {"ess_fraction": 0.58}, {"ess_fraction": 0.57}),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "options", "well", "ill"), BOUNDS, ids=lambda value: str(value)[:30])
def test_where_each_word_begins(
    expected: list[str], options: dict[str, Any], well: dict[str, float], ill: dict[str, float]
) -> None:
    assert keys(check_training(lines(**well), {**OPTIONS, **options})) == []
    assert keys(check_training(lines(**ill), {**OPTIONS, **options})) == expected


def test_one_draw_or_more_draws_than_help_are_not_called_few() -> None:
    spread = {"ess_fraction": 1.0, "log_weight_std": 1.2}
    assert check_training(lines(**spread), {**OPTIONS, "num_draws": 1}) == []
    for deviation, expected in ((2.04, ["few_draws", "ess_collapsed"]), (2.06, ["ess_collapsed"])):
        spread = {"ess_fraction": 0.16, "log_weight_std": deviation}
        assert keys(check_training(lines(**spread), {**OPTIONS, "num_draws": 12})) == expected


@pytest.mark.parametrize(
    ("name", "first", "largest"),
    [
        ("discriminator_loss", 1.33, 13.3),
        ("discriminator_loss", 0.1, 10.0),
        ("generator_gradient_norm", 0.05, 100.0),
        ("discriminator_gradient_norm", 2.0, 200.0),
    ],
)
def test_where_growth_is_a_divergence(name: str, first: float, largest: float) -> None:
    for factor, expected in ((0.99, []), (1.01, ["diverging"])):
        course = [*lines(20, **{name: first}), *lines(20, begun=1000, **{name: factor * largest})]
        assert keys(check_training(course, OPTIONS)) == expected


@pytest.mark.parametrize(
    ("key", "severity", "changes", "options", "advice"), ILLNESSES, ids=lambda value: str(value)[:30]
)
def test_the_beginning_and_a_passing_state_are_not_judged(
    key: str, severity: str, changes: dict[str, float], options: dict[str, Any], advice: str
) -> None:
    options = {**OPTIONS, **options}
    early = [*lines(8, **changes), *lines(40, begun=400)]
    assert check_training(early, options) == []
    one = lines(40)
    one[20] |= changes
    one[-1] |= changes
    assert check_training(one, options) == []
    one[-1] |= {"log_beta": 1e3, "discriminator_loss": 1e3, "generator_gradient_norm": 1e6}
    assert check_training(one, options) == [], "a window is judged by its median"


def test_what_follows_from_a_fault_is_not_said_beside_it() -> None:
    saturated = {"d_real": 0.98, "d_fake": 0.02, "discriminator_gradient_norm": 1e-9, "log_beta": -5.0}
    assert keys(check_training(lines(**saturated), OPTIONS)) == ["discriminator_saturated"]
    diverging = [*lines(20), *lines(20, begun=1000, discriminator_loss=60.0, log_beta=3.0)]
    assert keys(check_training(diverging, OPTIONS)) == ["diverging"]


@pytest.mark.parametrize("interval", [1, 10, 50, 500])
def test_a_window_has_lines_and_steps_enough(interval: int) -> None:
    ill = {"d_real": 0.99, "d_fake": 0.01}
    first = next(n for n in range(1, 400) if keys(check_window(lines(n, interval, **ill), OPTIONS)))
    assert first >= 10
    assert first * interval >= 200
    assert first == max(10, 200 // interval)


def test_an_illness_that_lasted_is_told_after_its_end() -> None:
    past = [*lines(10), *lines(20, begun=500, d_real=0.97, d_fake=0.03), *lines(10, begun=1500)]
    (finding,) = check_training(past, OPTIONS)
    assert finding.key == "discriminator_saturated"
    assert "steps" in finding.seen
    for count, expected in ((27, []), (33, ["discriminator_saturated"])):  # of about a hundred windows
        past = [*lines(30), *lines(count, begun=1500, d_real=0.97, d_fake=0.03), *lines(80 - count, begun=4000)]
        assert keys(check_training(past, OPTIONS)) == expected


def test_a_divergence_is_seen_in_losses_and_gradients() -> None:
    grown = [*lines(20), *lines(20, begun=1000, discriminator_loss=60.0)]
    (finding,) = check_training(grown, OPTIONS)
    assert (finding.key, finding.severity) == ("diverging", "critical")
    assert "60" in finding.seen
    steep = [*lines(20), *lines(20, begun=1000, generator_gradient_norm=500.0)]
    assert keys(check_training(steep, OPTIONS)) == ["diverging"]
    slow = [{**line, "discriminator_loss": 1.3 * 1.1**i} for i, line in enumerate(lines(60))]
    assert keys(check_training(slow, OPTIONS)) == ["diverging"]
    assert keys(check_training([*lines(3), {**lines(4)[-1], "d_real": math.nan}], OPTIONS)) == ["diverging"]


def test_what_does_not_apply_is_not_said() -> None:
    collapsed = lines(ess_fraction=0.06, log_weight_std=3.0)
    for options in (
        {"estimator": "rloo"},
        {"estimator": "reinforce"},
        {"estimator": "matched"},
        {"estimator": "matched", "divergence": "reverse_kl"},
        {"credit": "alternatives"},
        {"continuous": "boundary_seeking"},
    ):
        assert check_training(collapsed, {**OPTIONS, **options}) == []
    for divergence in ("kl", "pearson_chi2"):
        options = {"estimator": "matched", "divergence": divergence}
        assert keys(check_training(collapsed, {**OPTIONS, **options})) == ["ess_collapsed"]
    likelihood = [{"step": 50 * i, "likelihood_loss": 3.0} for i in range(1, 40)]
    assert check_training(likelihood, OPTIONS) == []
    assert HealthWatch(OPTIONS).update(likelihood[0]) == []
    # Two draws with nearly equal weights have nothing to do with their number.
    assert check_training(lines(ess_fraction=0.999, log_weight_std=0.03), {**OPTIONS, "num_draws": 2}) == []
    # A perfect generator leaves the discriminator nothing to see, which it saw before.
    perfect = [*lines(20), *lines(40, begun=1000, log_ratio_real=0.0, log_ratio_fake=0.0, log_weight_std=0.01)]
    assert check_training(perfect, OPTIONS) == []
    # Good long runs of text by alternatives have had such figures.
    sure = lines(d_real=0.91, d_fake=0.09, log_beta=-2.8)
    assert check_training(sure, {**OPTIONS, "credit": "alternatives"}) == []
    assert keys(check_training(sure, OPTIONS)) == ["discriminator_saturated"]


def test_a_short_run_says_that_it_cannot_be_judged() -> None:
    (finding,) = check_training(lines(5), OPTIONS)
    assert (finding.key, finding.severity) == ("too_short", "note")
    assert check_training([], OPTIONS) == []


def test_the_watch_says_a_thing_once_until_it_recovers() -> None:
    watch = HealthWatch(OPTIONS)
    ill = {"d_real": 0.98, "d_fake": 0.02}
    course = [
        *lines(20, 10),
        *lines(60, 10, begun=200, **ill),
        *lines(30, 10, begun=800),
        *lines(60, 10, begun=1100, **ill),
    ]
    said = [(line["step"], finding.key) for line in course for finding in watch.update(line)]
    assert [key for _, key in said] == ["discriminator_saturated"] * 2
    assert 200 < said[0][0] <= 310
    assert 1100 < said[1][0] <= 1210


def test_the_watch_does_not_flutter() -> None:
    watch = HealthWatch(OPTIONS)
    course: list[dict[str, Any]] = []
    while len(course) < 300:
        ill = {"log_beta": 3.0} if len(course) // 12 % 2 else {}
        course += lines(12, 10, begun=10 * len(course), **ill)
    steps = [line["step"] for line in course for _ in watch.update(line)]
    assert len(steps) >= 2
    assert min(b - a for a, b in pairwise(steps)) >= REPEAT_STEPS


@pytest.mark.parametrize("interval", [1, 30])
def test_the_watch_of_a_long_run_remembers_what_it_needs(interval: int, monkeypatch: pytest.MonkeyPatch) -> None:
    course: list[dict[str, Any]] = []
    for number in range(12):
        ill = {"log_beta": 3.0 * (number % 2), "generator_gradient_norm": 0.05 * 4.0**number}
        course += lines(100, interval, begun=interval * len(course), **ill)
    watch = HealthWatch(OPTIONS)
    found = [watch.update(line) for line in course]
    assert len(watch._lines) < 300
    monkeypatch.setattr("bgan_discrete.diagnosis.watch._KEPT_LAST", len(course))
    all_of_it = HealthWatch(OPTIONS)
    assert found == [all_of_it.update(line) for line in course]
    assert len(all_of_it._lines) == len(course)
    assert {finding.key for findings in found for finding in findings} == {"log_beta_off", "diverging"}


def test_the_run_log_says_it_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ill = lines(30, 50, d_real=0.98, d_fake=0.02)
    for options, expected in ((OPTIONS, 1), (None, 0)):
        with RunLog(tmp_path / str(expected), 0, 2000, options=options) as log:
            for line in ill:
                log.write(line["step"], {name: value for name, value in line.items() if name != "step"})
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("health, step ")]
        assert len(said) == expected
        assert all("`discriminator_lr` (now 0.002)" in line for line in said)
    with RunLog(None, 0, 2000, progress=False, options=OPTIONS) as log:
        for line in ill:
            log.write(line["step"], line)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("bound", "expected"), [(None, "ETA 2:46:10"), (60.0, "ETA 0:30"), (20.0, "ETA 0:00")])
def test_the_time_that_remains_minds_the_bound(
    bound: float | None, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("bgan_discrete.training.run_log.time.monotonic", lambda: now[0])
    with RunLog(None, 0, 1000, options={**OPTIONS, "max_seconds": bound}) as log:
        now[0] = 30.0
        log.write(3, HEALTHY)
    assert expected in capsys.readouterr().err


def test_how_a_run_ended() -> None:
    def ended(**facts: Any) -> list[tuple[str, str]]:
        return [(finding.key, finding.severity) for finding in check_outcome(Outcome({}, facts, OPTIONS))]

    assert ended(training={"steps": 8000, "stopped_by": "max_steps"}) == []
    assert ended(training={"steps": 10, "stopped_by": "SIGINT"}) == [("interrupted", "warning")]
    assert ended(training={"steps": 10, "stopped_by": "max_seconds"}) == [("stopped_early", "note")]
    assert ended() == [("unfinished", "note")]
    assert ended(failure="a loss is nan") == [("failed", "critical")]
    assert ended(failure="a loss is nan", training={"steps": 10, "stopped_by": "SIGINT"}) == [("failed", "critical")]


ENDED = {"training": {"steps": 8000, "stopped_by": "max_steps"}}


def outcome(
    figures: dict[str, Figure], options: dict[str, Any] | None = None, samples: tuple[str, ...] = (), **facts: Any
) -> Outcome:
    return Outcome(figures, {**ENDED, **facts}, options or OPTIONS, samples)


def figure(
    value: float, floor: float | None, baseline: float | None, count: int = 2000, of: str = "independent"
) -> Figure:
    return Figure("a figure", value, "lower", floor, {of: baseline}, count)


def found_in(given: Outcome) -> list[tuple[str, str]]:
    return [(finding.key, finding.severity) for finding in check_outcome(given)]


SHARES = {str(k): 0.1 for k in range(10)}


def of_images(floors: dict[str, float] | None = None, options: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    known = {"recall": (0.8, 0.95, 0.9), "frechet_pixels": (0.19, 0.1, 1.8), "copies": (0.0, 0.0, 0.0)}
    figures = {
        name: figure(changes.pop(name, value), (floors or {}).get(name, floor), baseline)
        for name, (value, floor, baseline) in known.items()
    }
    facts = {"noun": "images", "num_samples": 2000, "class_histogram": SHARES, "class_shares": SHARES, **changes}
    return outcome(figures, options, **facts)


def test_what_is_found_in_the_figures_of_images() -> None:
    def found(**changes: Any) -> list[str]:
        return keys(check_outcome(of_images(**changes)))

    assert found() == []
    assert found(recall=0.05) == ["mode_collapse"]
    assert found(copies=0.2) == ["copies"]
    assert found(copies=0.005) == []
    assert found(frechet_pixels=1.7) == ["no_better_than_baseline"]
    assert found(classes_absent_from_training=["7"]) == ["classes_absent_from_training"]
    made = {**{str(k): 0.125 for k in range(8)}, "8": 0.0, "9": 0.005}
    (finding,) = check_outcome(of_images(class_histogram=made))
    assert finding.key == "classes_missing"
    assert "2 of 10" in finding.seen
    assert "'8', '9'" in finding.seen
    assert "raise `penalty_weight` (now " in finding.advice, "there is a penalty already"
    (finding,) = check_outcome(of_images(class_histogram=made, options={**OPTIONS, "conditional": True}))
    assert "lower `penalty_weight` (now 1.0) to 0.2" in finding.advice, "as the tutorial has it"
    assert found(class_histogram=made, num_samples=40) == [], "of so few samples a class may be absent by chance"
    assert found_in(outcome({})) == []
    assert found(recall=0.05, frechet_pixels=1.7) == ["mode_collapse"], "one finding for one fault"


def test_where_the_rules_on_images_begin() -> None:
    def found(name: str, value: float, floor: float | None = None) -> list[tuple[str, str]]:
        return found_in(of_images({} if floor is None else {name: floor}, **{name: value}))

    assert found("recall", 0.2) == found("recall", 0.01, floor=0.29) == []
    assert found("recall", 0.18) == found("recall", 0.01, floor=0.31) == [("mode_collapse", "critical")]
    assert found("frechet_pixels", 0.199) == []
    assert found("frechet_pixels", 0.2) == found("frechet_pixels", 1.42) == [("far_from_data", "note")]
    assert found("frechet_pixels", 1.46) == [("no_better_than_baseline", "warning")]
    # Beyond four standard deviations of a share of 0.1 among 2000, and beyond 0.01 of none.
    assert found("copies", 0.126, floor=0.1) == found("copies", 0.0095) == []
    assert found("copies", 0.128, floor=0.1) == found("copies", 0.0105) == [("copies", "warning")]
    assert found("copies", 0.61, floor=0.1) == [("copies", "critical")]

    def repeating(value: float, repeated: float) -> list[tuple[str, str]]:
        return found_in(of_images(copies=value, training_repeated=repeated))

    cut = of_images(frechet_pixels=1.7, training={"steps": 12, "stopped_by": "max_seconds"})
    assert "raise `max_seconds`" in check_outcome(cut)[0].advice, "seconds ended it, not steps"
    # Of new images so many would be copies; the held-out ones are chosen not to be.
    assert repeating(0.9, 0.9) == repeating(0.0, 0.9) == repeating(0.0, 0.1) == [("data_repeat", "note")]
    assert repeating(0.0, 0.09) == []
    assert repeating(0.9, 0.3) == [("copies", "critical")]

    def missing(count: int, share: float, num_samples: int = 2000) -> list[str]:
        made = {str(k): share if k < count else 0.1 for k in range(10)}
        return [severity for _, severity in found_in(of_images(class_histogram=made, num_samples=num_samples))]

    assert missing(1, 0.011) == missing(1, 0.0, 49) == []
    assert missing(1, 0.009) == missing(5, 0.0) == missing(1, 0.0, 50) == ["warning"]
    assert missing(6, 0.0) == ["critical"]


def test_what_is_found_in_the_figures_of_rows() -> None:
    options = ArrayTrainingConfig().to_flat()
    pair, critic = "total_variation_of_a_pair_dependent_tenth", "divergence_that_a_fresh_critic_finds_0_to_1"
    real = {"copies": (0.14, 0.0), "unique_rate": (0.9, 1.0), pair: (0.04, 0.5), critic: (0.0, 0.4)}

    def found(floors: dict[str, tuple[float, float]] = real, **values: float) -> list[str]:
        figures = {
            name: figure(values.get(name, floor), floor, baseline, count=1200)
            for name, (floor, baseline) in floors.items()
        }
        return keys(check_outcome(outcome(figures, options, num_samples=10_000)))

    assert found() == []
    lacking = outcome({}, options, missing_categories={"a = x": 0.3, "b = y": 0.1}, num_missing_categories=7)
    (finding,) = check_outcome(lacking)
    assert (finding.key, finding.severity) == ("categories_missing", "warning")
    assert "7 categories of columns are missing" in finding.seen
    assert "'a = x' (30.0%)" in finding.seen
    (finding,) = check_outcome(outcome({}, missing_categories={"a = x": 0.6}, num_missing_categories=1))
    assert finding.severity == "critical"
    assert "1 category of a column is missing" in finding.seen
    assert found_in(outcome({}, missing_categories={}, num_missing_categories=0)) == []
    # The floor's 1,200 rows say 0.14 give or take 0.01.
    assert found(copies=0.17) == []
    assert found(copies=0.3) == ["copies"]
    assert found(unique_rate=0.3) == ["mode_collapse"]
    assert found(**{pair: 0.45}) == found(**{critic: 0.39}) == ["no_better_than_baseline"]
    assert found(**{pair: 0.45, critic: 0.39}) == ["no_better_than_baseline"], "one finding for one fault"
    assert found({**real, pair: (0.04, 0.041)}, **{pair: 0.042}) == [], "these columns are independent"
    depending = {**real, "total_variation_of_a_pair_largest": (0.43, 0.93)}
    assert found(depending) == []
    assert found({**depending, critic: (0.0, 0.01)}) == ["critic_blind"], "its 0 says nothing of the model"
    (finding,) = check_outcome(outcome({"unique_rate": figure(0.01, 0.9, 1.0)}, options))
    assert finding.severity == "critical" and "`generator_lr`" in finding.advice


AUC, PAIRS = "auc_of_boosted_trees", "total_variation_of_a_pair_dependent_tenth"


def of_rows(
    auc: tuple[float, float, float] | None, pairs: tuple[float, float, float] | None = None, **options: Any
) -> Outcome:
    """A model's figures by value, floor and value of a Chow-Liu tree, 1,200 rows on a side."""
    figures = {}
    for name, direction, numbers in ((AUC, "half", auc), (PAIRS, "lower", pairs)):
        if numbers is not None:
            baselines = {"independent": 0.95, "Chow-Liu tree": numbers[2]}
            figures[name] = Figure("a figure", numbers[0], direction, numbers[1], baselines, 1200)  # type: ignore[arg-type]
    return outcome(figures, {**ArrayTrainingConfig().to_flat(), **options}, noun="rows")


def test_a_judge_from_outside_has_its_say() -> None:
    def found(value: float, floor: float = 0.5) -> list[tuple[str, str]]:
        return found_in(of_rows((value, floor, 0.99)))

    # A tree that is as bad, so that the judge alone is heard.
    assert found(0.99) == found(1.0, floor=0.52) == [("told_apart", "critical")]
    assert found(0.9) == found(0.989) == [("told_apart", "warning")]
    assert found(0.61) == found(0.89) == found(0.39) == [("far_from_data", "note")]
    assert found(0.59) == found(0.42) == found(0.65, floor=0.56) == [], "real rows are told apart as well"
    (finding,) = check_outcome(of_rows((0.995, 0.5, 0.999), generator="mlp"))
    assert "0.995" in finding.seen and "unseen real rows" in finding.seen and "`generator causal`" in finding.advice
    (finding,) = check_outcome(of_rows((0.995, 0.5, 0.999), generator="causal"))
    assert "`generator causal`" not in finding.advice and "`max_steps`" in finding.advice
    # Of few rows an area of 0.6 is chance.
    few = Figure("a figure", 0.61, "half", 0.5, {}, 100)
    assert found_in(outcome({AUC: few})) == []


def test_what_tables_give_away_and_what_they_break() -> None:
    def found(name: str, value: float, floor: float, count: int = 1000) -> list[tuple[str, str]]:
        return found_in(outcome({name: Figure("a figure", value, "lower", floor, {}, count)}))

    # Three standard errors of 1,000 rows are 0.039, of 100 they are 0.12.
    assert found(MEMBERSHIP, 0.56, 0.5) == [("membership", "warning")]
    assert found(MEMBERSHIP, 0.54, 0.5) == found(MEMBERSHIP, 0.6, 0.5, count=100) == found(MEMBERSHIP, 0.3, 0.5) == []
    assert found(DEPENDENCIES, 0.08, 0.02) == [("dependencies_broken", "warning")]
    assert found(DEPENDENCIES, 0.06, 0.02) == []


def test_what_is_worse_than_a_tree() -> None:
    def found(auc: tuple[float, float, float] | None, pairs: tuple[float, float, float] | None = None) -> list[str]:
        return keys(check_outcome(of_rows(auc, pairs)))

    # Two standard errors of a difference are 0.033 of 1,200 rows.
    assert found((0.58, 0.5, 0.55)) == []
    assert found((0.59, 0.5, 0.55)) == ["worse_than_tree"]
    assert found((0.95, 0.5, 0.6)) == ["told_apart", "worse_than_tree"]
    # By the pairs, unless trees prefer the model.
    assert found(None, (0.13, 0.1, 0.11)) == []
    assert found(None, (0.14, 0.1, 0.11)) == ["worse_than_tree"]
    assert found((0.55, 0.5, 0.58), (0.14, 0.1, 0.11)) == ["worse_than_tree"]
    assert found((0.51, 0.5, 0.58), (0.14, 0.1, 0.11)) == []
    assert found(None, (0.9, 0.1, 0.11)) == ["no_better_than_baseline"], "one finding for one fault"
    (finding,) = check_outcome(of_rows((0.59, 0.5, 0.55)))
    assert "Chow-Liu tree" in finding.seen and "0.550" in finding.seen and finding.severity == "warning"
    assert found_in(outcome({AUC: Figure("a figure", 0.55, "half", 0.5, {"independent": 0.9}, 1200)})) == []


def test_rows_far_from_the_data_are_not_called_good() -> None:
    assert keys(check_outcome(of_rows((0.51, 0.5, 0.99), (0.199, 0.1, 0.3)))) == []
    (finding,) = check_outcome(of_rows((0.51, 0.5, 0.99), (0.25, 0.1, 0.3)))
    assert (finding.key, finding.severity) == ("far_from_data", "note")
    assert "'a figure' is 2.5 times that of unseen real rows" in finding.seen


def test_texts_whose_entropy_is_under_the_data_s() -> None:
    def found(value: float, floor: float = 10.0) -> list[tuple[str, str]]:
        return found_in(outcome({"entropy_of_4_grams_bits": Figure("a figure", value, "floor", floor, {}, 1000)}))

    assert found(9.51) == found(12.0) == []
    assert found(9.49) == [("entropy_low", "warning")]
    figures = {"entropy_of_4_grams_bits": figure(5.0, 10.0, None), "unique_rate": figure(0.2, 0.9, None)}
    (finding,) = check_outcome(outcome(figures))
    assert finding.key == "mode_collapse", "one finding for one fault"


def of_texts(
    samples: tuple[str, ...] = (), unknown: float = 0.0, floors: dict[str, float] | None = None, **model: Any
) -> Outcome:
    known = {"unique_rate": 0.9, "copies": 0.01, "jsd_4": 0.1, **(floors or {})}
    count, facts = model.pop("count", 1000), model.pop("facts", {})
    figures = {name: figure(model.get(name, floor), floor, 0.6, count, "Markov 1") for name, floor in known.items()}
    figures |= {name: figure(value, None, None) for name, value in model.items() if name not in known}
    facts = {"noun": "texts", "num_samples": 1000, "unknown_share": unknown, **facts}
    return outcome(figures, TextTrainingConfig().to_flat(), samples, **facts)


def test_what_is_found_in_the_figures_of_texts() -> None:
    def found(samples: tuple[str, ...] = (), unknown: float = 0.0, **model: Any) -> list[str]:
        return keys(check_outcome(of_texts(samples, unknown, **model)))

    assert found() == []
    assert found(unique_rate=0.3) == ["mode_collapse"]
    assert found(copies=0.4) == ["copies"]
    for held_out, expected in ((1000, ["copies"]), (20, [])):
        assert found(copies=0.06, floors={"copies": 0.0}, count=held_out) == expected, "few held-out texts say little"
    (finding,) = check_outcome(of_texts(copies=0.06, floors={"copies": 0.0}, facts={"training_repeated": 0.5}))
    assert finding.key == "data_repeat" and "Of the training texts, 50.0% are there more than once" in finding.seen
    # Where the language is known and small, right samples have often been seen.
    assert found(copies=0.9, valid=0.95) == []
    # 10,000 draws from 6,480 equations cannot all be different.
    language = {"unique_rate": 1.0, "distinct_valid": 648.0, "coverage": 0.1}
    for unique, expected in ((0.3, []), (0.1, ["mode_collapse"])):
        assert found(unique_rate=unique, valid=0.9, floors=language, facts={"num_samples": 10000}) == expected
    assert found(jsd_4=0.7) == ["no_better_than_baseline"]
    assert found(("",) * 30 + ("a",) * 70) == ["empty_texts"]
    assert found(("",) * 2 + ("a",) * 98) == []
    assert found(unknown=0.05) == ["unknown_tokens"]
    assert found(("a\N{REPLACEMENT CHARACTER}",) * 10 + ("a",) * 90) == ["unknown_tokens"]


def test_where_the_rules_on_texts_begin() -> None:
    def found(samples: list[str], unknown: float = 0.0, **model: float) -> list[tuple[str, str]]:
        return found_in(of_texts(tuple(samples), unknown, **model))

    assert found([], unique_rate=0.46) == []
    assert found([], unique_rate=0.44) == [("mode_collapse", "warning")]
    assert found([], unique_rate=0.08) == [("mode_collapse", "critical")]
    assert found([], jsd_4=0.199) == []
    assert found([], jsd_4=0.2) == found([], jsd_4=0.6) == [("far_from_data", "note")]
    assert found([], jsd_4=0.61) == [("no_better_than_baseline", "warning")]
    assert found([""] * 10 + ["a"] * 90) == found([""] * 2 + ["a"] * 8) == []
    assert found([""] * 11 + ["a"] * 89) == found([""] * 3 + ["a"] * 7) == [("empty_texts", "warning")]
    assert found([""] * 4) == [("empty_texts", "critical")]
    broken = "a\N{REPLACEMENT CHARACTER}"
    assert found([broken] * 5 + ["a"] * 95) == found([broken] * 2) == found(["a"], 0.01) == []
    for samples, unknown in (([broken] * 6 + ["a"] * 94, 0.0), ([broken] * 3, 0.0), (["a"], 0.011)):
        assert found(samples, unknown) == [("unknown_tokens", "warning")]


def test_what_a_rule_needs_is_what_it_asks_for() -> None:
    """A rule whose figures are unknown does not apply, whatever the state."""
    empty = outcome({}, noun="images")
    assert not any(rule.applies(empty) for rule in OUTCOME_RULES)
    assert all(rule.needs or rule.key == "unfinished" for rule in OUTCOME_RULES)


def test_advice_names_options_that_there_are() -> None:
    options = {**ImageTrainingConfig().to_flat(), **TextTrainingConfig().to_flat(), **ArrayTrainingConfig().to_flat()}
    flags = {f"--{name.replace('_', '-')}" for name in options}
    for rule in (*WINDOW_RULES, *COURSE_RULES, *OUTCOME_RULES):
        assert "--" not in rule.seen + rule.advice, rule.key
        sentences = [rule.seen, re.sub(r"{(\w+)}", lambda m: f"`{m[1]}`" if m[1] in options else m[1], rule.advice)]
        for _, flag in (part for sentence in sentences for part in split_options(sentence)):
            assert not flag or flag.split()[0] in flags, f"{rule.key} names {flag}"


def test_a_sentence_is_cut_at_its_options() -> None:
    assert split_options("Raise `num_draws` (now 2), or take `estimator rloo`.") == [
        ("Raise ", "--num-draws"), (" (now 2), or take ", "--estimator rloo"), (".", ""),
    ]  # fmt: skip
    assert split_options("`<b>` and ``") == [("`<b>` and ``", "")]


def test_a_healthy_run_on_the_digits_hears_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {**SMALL, "output_dir": str(tmp_path / "run"), "num_draws": 6, "max_steps": 260, "generator_depth": 1,
               "discriminator_depth": 1}  # fmt: skip
    train(ImageTrainingConfig.from_flat(options))
    logged = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert len(logged) == 26
    assert check_training(logged, {**OPTIONS, **options}) == []
    assert "health" not in capsys.readouterr().err


@pytest.mark.parametrize("generator", [pytest.param("mlp", marks=pytest.mark.long), "gru"])
def test_a_healthy_run_on_arithmetic_hears_nothing(
    generator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        **SMALL, "output_dir": str(tmp_path / "run"), "dataset": "arithmetic", "layout": "window", "length": 8,
        "generator": generator, "generator_depth": 1, "discriminator": "mlp", "generator_width": 32,
        "discriminator_width": 32, "max_steps": 260,
    }  # fmt: skip
    train(TextTrainingConfig.from_flat(options))
    logged = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert check_training(logged, {**TextTrainingConfig().to_flat(), **options}) == []
    assert "health" not in capsys.readouterr().err
