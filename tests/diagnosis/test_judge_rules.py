"""What a run's health says of its phases and of its judge."""

from typing import Any

import pytest

from bgan_discrete.diagnosis import Outcome, check_judged
from bgan_discrete.reporting.course import course_of, sentences_of

BETTER = {"start": [0.7, 0.01], "best": [0.6, 0.01], "floor": [0.5, 0.01]}
NOT_BETTER = {"start": [0.51, 0.01], "best": [0.505, 0.01], "floor": [0.5, 0.01]}


def course(**changes: Any) -> dict[str, Any]:
    values = {"phase_steps": {"likelihood": 0, "discriminator": 60, "game": 70}, "looks": [], "ended_by": ""}
    return {**values, "choice": "best", "verdicts": BETTER, "judge_failed": False, **changes}


def found(d_real: float | None = 0.7, **changes: Any) -> list[str]:
    facts = {"course": course(**changes), "last_d_real": d_real, "training": {"steps": 100}}
    return [finding.key for finding in check_judged(Outcome({}, facts, {"max_steps": 100}))]


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, []),
        ({"d_real": 0.505}, ["judge_disagrees"]),
        ({"d_real": 0.505, "verdicts": NOT_BETTER}, []),
        ({"d_real": None}, []),
        ({"choice": "start", "verdicts": NOT_BETTER}, ["game_no_better"]),
        ({"choice": "start", "verdicts": {"start": [0.5, 0.01], "floor": [0.5, 0.01]}}, []),
        (
            {"choice": "start", "ended_by": "blindness", "verdicts": {"start": [0.5, 0.01], "floor": [0.5, 0.01]}},
            ["nothing_to_find"],
        ),
        (
            {"choice": "start", "ended_by": "blindness", "verdicts": {"start": [0.9, 0.01], "floor": [0.5, 0.01]}},
            ["judge_disagrees"],
        ),
        ({"choice": "", "verdicts": {}}, []),
        ({"choice": "start", "verdicts": {}, "judge_failed": True}, ["judge_failed"]),
    ],
)
def test_what_is_found(changes: dict[str, Any], keys: list[str]) -> None:
    assert found(**changes) == keys


def test_the_sentences_say_which_weights_are_the_model_and_by_how_much() -> None:
    facts = {"course": course(), "judge": "AUC", "training": {"steps": 100}}
    said = " ".join(sentences_of(facts))
    assert said.startswith(
        "The best weights of the game are the model: on data that chose nothing the judge (AUC) gave"
    )
    assert "the game 0.600 ± 0.010 and its start 0.700 ± 0.010" in said
    assert "the gain of 0.100 is more than twice the noise of 0.014" in said
    assert said.endswith("Training data in the place of samples have 0.500 ± 0.010.")
    said = sentences_of({**facts, "course": course(choice="start", verdicts=NOT_BETTER)})[0]
    assert said.startswith("The weights by likelihood, the start of the game, are the model")
    assert "the gain of 0.005 is not more than twice the noise of 0.014" in said
    assert sentences_of({"course": course(choice="", verdicts={})}) == [
        "No judge chose: the last weights, averaged, are the model."
    ]


def test_the_phases_with_their_steps_and_what_was_found() -> None:
    looks = [
        {"step": 30, "phase": "likelihood", "value": 12.5, "noise": 0.1},
        {"step": 60, "phase": "likelihood", "value": 13.0, "noise": 0.1},
        {"step": 70, "phase": "discriminator", "value": -0.25, "noise": 0.01},
    ]
    shown = course_of({"course": course(looks=looks), "training": {"steps": 100}})
    assert shown is not None
    assert [(row["name"], row["first"], row["last"]) for row in shown["rows"]] == [
        ("likelihood", 1, 60), ("discriminator", 61, 70), ("game", 71, 100),
    ]  # fmt: skip
    likelihood, discriminator, game = (row["found"] for row in shown["rows"])
    assert likelihood == "2 looks at what is kept back, of 12.500 nats a sample at best (step 30)"
    assert discriminator == "its held-out loss was 0.250 under that of a blind one at the last of 1 looks"
    assert game == ""
    assert course_of({"training": {"steps": 3}}) is None
