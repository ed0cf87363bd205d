"""The configuration: flags, YAML, ranges, and what may change on resume."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from bgan_discrete.config import (
    RETIRED,
    ArrayTrainingConfig,
    ImageTrainingConfig,
    TextTrainingConfig,
    TrainingConfig,
    load_config_values,
    split_holdout,
    split_revision,
)
from bgan_discrete.errors import InputError
from bgan_discrete.game.estimators import ESTIMATORS


def test_defaults_pass_their_own_check() -> None:
    ImageTrainingConfig().check()


def test_field_names_are_distinct_over_the_sections() -> None:
    names = [name for section in dataclasses.asdict(ImageTrainingConfig()).values() for name in section]
    assert len(names) == len(set(names))


def test_saving_and_loading_gives_the_same_configuration(tmp_path: Path) -> None:
    config = ImageTrainingConfig.from_flat({"num_draws": 7, "codec": "palette", "generator_lr": 1e-4, "dataset": "a/ü"})
    config.save(tmp_path / "config.yaml")
    assert ImageTrainingConfig.from_flat(load_config_values(tmp_path / "config.yaml")) == config
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))["num_draws"] == 7


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"num_draws": 1}, "num_draws must be at least 2"),
        ({"num_draws": 0, "estimator": "reinforce"}, "num_draws must be between 1 and 16777216"),
        ({"batch_size": 10**12}, "batch_size must be between 1 and 16777216, got 1000000000000"),
        ({"num_draws": 2.5}, "num_draws must be an integer"),
        ({"num_draws": "many"}, "num_draws must be an integer"),
        ({"num_categories": 1}, "num_categories must be between 2 and 256"),
        ({"num_categories": 257}, "num_categories must be between 2 and 256"),
        ({"codec": "binary", "num_categories": 3}, "num_categories must be 2 with the binary codec"),
        ({"stochastic": True}, "stochastic applies to the binary codec"),
        ({"dither": True}, "the option dither is no more: leave it out"),
        ({"credit": "prefix"}, "credit is for text and arrays; leave it out, got 'prefix'"),
        ({"discriminator_draws": 21}, "discriminator_draws must be at most num_draws"),
        ({"generator_lr": 0.0}, "generator_lr must be above 0"),
        ({"generator_lr": float("nan")}, "generator_lr must be above 0"),
        ({"discriminator_draws": "most"}, "discriminator_draws must be an integer or all, got 'most'"),
        ({"holdout": 1.0}, "holdout must be between 0 and 1, exclusive"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"adam_beta1": True}, "adam_beta1 must be a number"),
        ({"seed": -1}, "seed must be between 0"),
        ({"divergence": "total_variation"}, "not strictly convex"),
        ({"divergence": "hinge"}, "divergence 'hinge' is unknown"),
        ({"estimator": "wake_sleep"}, "estimator 'wake_sleep' is unknown"),
        ({"penalty": "r2"}, "penalty 'r2' is unknown"),
        ({"learning_rate": 1.0}, "unknown configuration key 'learning_rate'"),
        ({3: 1.0}, "unknown configuration key 3"),
        ({"color": "sepia"}, "color 'sepia' is unknown; known are auto, grey, rgb"),
        ({"codec": ["levels"]}, "codec ['levels'] is unknown"),
        ({"penalty": {}}, "penalty {} is unknown"),
        ({"divergence": ["gan"]}, "divergence must be a string"),
        ({"overwrite": "false"}, "overwrite must be true or false, got 'false'"),
        ({"overwrite": 0}, "overwrite must be true or false, got 0"),
        ({"dataset": None}, "dataset must be a string, got None"),
        ({"column": 3}, "column must be a string, got 3"),
        ({"num_draws": None}, "num_draws must be an integer, got None"),
        ({"max_steps": True}, "max_steps must be an integer, got True"),
        ({"batch_size": 2**63}, "batch_size must be below 2**63"),
        ({"batch_size": 10**9999}, "batch_size must be below 2**63"),
        ({"generator_lr": 10**9999}, "generator_lr must be below 2**63"),
        ({"output_dir": " "}, "output_dir must name a folder"),
        ({"output_dir": "a\0b"}, "output_dir must not hold a NUL character"),
        ({"output_dir": "\udcff"}, "output_dir must be UTF-8"),
    ],
)
def test_a_value_out_of_range_is_one_clear_line(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        ImageTrainingConfig.from_flat(values)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "within", "beyond"),
    [
        ("gradient_accumulation_steps", (1, 16), (0, 17)),
        ("discriminator_draws", (1, 6, "all"), (0, 7)),
        ("discriminator_steps", (1,), (0,)),
        ("penalty_weight", (0.0, 100.0), (-0.01, math.inf, math.nan)),
        ("escort", (0.01, 1.0), (0.0, 1.01)),
        ("adam_beta1", (0.0, 0.9), (-0.1, 1.0)),
        ("max_seconds", (0.1, 1e9), (0.0, math.inf)),
        ("checkpoint_interval", (0, 1), (-1,)),
        ("keep_last", (1,), (0,)),
    ],
)
def test_where_the_range_of_an_option_ends(name: str, within: tuple[Any, ...], beyond: tuple[float, ...]) -> None:
    config = TrainingConfig(batch_size=16, num_draws=6, max_steps=30, credit="alternatives")
    for value in within:
        dataclasses.replace(config, **{name: value}).check()
    for value in beyond:
        with pytest.raises(InputError, match=f"^{name} "):
            dataclasses.replace(config, **{name: value}).check()


@pytest.mark.parametrize("estimator", ["reinforce", "maligan"])
def test_one_draw_is_enough_where_weights_are_not_per_latent(estimator: str) -> None:
    ImageTrainingConfig.from_flat({"num_draws": 1, "estimator": estimator})


def test_every_estimator_is_a_choice() -> None:
    for estimator in ESTIMATORS:
        TrainingConfig(estimator=estimator).check()  # type: ignore[arg-type]


def test_what_may_change_on_resume() -> None:
    same = {"lr_decay": "none", "keep": "last"}
    before = ImageTrainingConfig.from_flat(same)
    assert before.differences(ImageTrainingConfig.from_flat({**same, "max_steps": 9, "log_interval": 3})) == []
    assert ImageTrainingConfig.from_flat({**same, "seed": 5}).differences(before) == ["seed: 0 -> 5"]
    for other in ({"keep": "best"}, {"phases": "discriminator=0.1,game"}):
        before = ImageTrainingConfig.from_flat({**same, **other})
        after = ImageTrainingConfig.from_flat({**same, **other, "max_steps": 9})
        assert after.differences(before) == ["max_steps: 8000 -> 9"], "a judge looks, or a phase ends, at other steps"
    same |= {"keep": "best", "continuous": "non_saturating"}
    before = ImageTrainingConfig.from_flat(same)
    assert before.differences(ImageTrainingConfig.from_flat({**same, "max_steps": 9})) == [], "there is no judge"


def test_a_decaying_learning_rate_ties_the_run_to_its_length() -> None:
    before = ImageTrainingConfig.from_flat({"lr_decay": "linear", "max_steps": 10})
    after = ImageTrainingConfig.from_flat({"lr_decay": "linear", "max_steps": 20})
    assert after.differences(before) == ["max_steps: 10 -> 20"]


def test_seconds_are_a_budget_like_steps() -> None:
    for decay, told in (("linear", ["max_seconds: 10.0 -> 20.0"]), ("none", [])):
        before, after = (
            ImageTrainingConfig.from_flat({"lr_decay": decay, "max_seconds": seconds}) for seconds in (10.0, 20.0)
        )
        assert after.differences(before) == told


def test_an_option_that_is_no_more_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("num_draws: 3\ntext-column: words\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.yaml': the option text_column is no more: give it as column"):
        load_config_values(tmp_path / "config.yaml")
    options = {
        name for kind in (ImageTrainingConfig, TextTrainingConfig, ArrayTrainingConfig) for name in kind().to_flat()
    }
    assert not options & set(RETIRED)
    for name in RETIRED:
        with pytest.raises(InputError, match=f"the option {name} is no more: "):
            TextTrainingConfig.from_flat({name: None})


def test_what_is_held_out_is_a_share_or_a_file() -> None:
    assert split_holdout(TextTrainingConfig().data.holdout) == {"holdout": 0.1}
    assert split_holdout(ArrayTrainingConfig.from_flat({"holdout": "rows.csv"}).data.holdout) == {"heldout": "rows.csv"}


def test_a_revision_follows_the_id_of_a_data_set(tmp_path: Path) -> None:
    assert split_revision("owner/name@v1.0") == ("owner/name", "v1.0")
    assert split_revision("name@refs/pr/1") == ("name", "refs/pr/1")
    (tmp_path / "me@home").mkdir()
    for dataset in ("owner/name", "digits", "a b@c", "/tmp/x@y/z.csv", str(tmp_path / "me@home")):
        assert split_revision(dataset) == (dataset, None)


def test_a_resize_without_quotes_is_a_number_to_yaml() -> None:
    assert ImageTrainingConfig.from_flat({"resize": 32}).data.resize == 32
    for value in (True, 0, 10**5000):
        with pytest.raises(InputError, match="resize must be a string"):
            ImageTrainingConfig.from_flat({"resize": value})


def test_what_is_no_mapping_is_one_clear_line() -> None:
    for values in (None, 3, "x", [("num_draws", 3)]):
        with pytest.raises(InputError, match="must map option names to values"):
            ImageTrainingConfig.from_flat(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "must hold a mapping"),
        ("", "mapping"),
        ("seed: " + "9" * 5000, "is not YAML"),
        ("seed: 2001-13-45", "is not YAML"),
        ("seed: " + "[" * 3000, "is not YAML"),
        ("seed: !!timestamp x", "is not YAML"),
        ("? [1]: 2", "is not YAML"),
        ("seed: !!python/object:os.system x", "is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        load_config_values(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_config_values(tmp_path / "none.yaml")
