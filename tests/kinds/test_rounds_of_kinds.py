"""In which rounds, and in which order, the generators of each kind of data draw."""

from typing import Any

import pytest
import torch

from bgan_discrete.kinds import get_kind
from bgan_discrete.nn import CausalMLPGenerator, MaskedConvGenerator, MaskedMLPGenerator, MLPGenerator
from bgan_discrete.nn.transformers import CausalTransformerGenerator, MaskedTransformerGenerator
from bgan_discrete.space import SampleSpace

ENDING = SampleSpace((8,), 3, end_id=0)


def networks(kind: str, space: SampleSpace, **options: Any) -> tuple[Any, Any]:
    """Both networks of a configuration, without memory."""
    named = get_kind(kind)
    config = named.config_class.from_flat({"generator_width": 256, **options})
    with torch.device("meta"):
        return named.networks(config, space)


@pytest.mark.parametrize(
    ("kind", "generator", "space", "network", "rounds", "order"),
    [
        ("arrays", "masked", SampleSpace((6,), 3), MaskedMLPGenerator, 4, "information"),
        ("arrays", "masked", SampleSpace((3,), 3), MaskedMLPGenerator, 3, "information"),
        ("arrays", "masked", SampleSpace((201,), 2), MaskedMLPGenerator, 4, "interleaved"),
        ("arrays", "causal", SampleSpace((6,), 3), CausalMLPGenerator, 6, "information"),
        ("arrays", "masked", SampleSpace((4, 5), 3), MaskedTransformerGenerator, 4, "coarse_to_fine"),
        ("arrays", "causal", SampleSpace((4, 5), 3), CausalTransformerGenerator, 20, "left_to_right"),
        ("arrays", "masked", SampleSpace((1, 5), 3), MaskedTransformerGenerator, 4, "information"),
        ("text", "masked", ENDING, MaskedTransformerGenerator, 4, "interleaved"),
        ("text", "causal", ENDING, CausalTransformerGenerator, 8, "left_to_right"),
        ("images", "masked", SampleSpace((8, 8), 2), MaskedConvGenerator, 16, "coarse_to_fine"),
    ],
)
def test_what_is_drawn_when_unless_it_is_asked_for(
    kind: str, generator: str, space: SampleSpace, network: Any, rounds: int, order: str
) -> None:
    made, discriminator = networks(kind, space, generator=generator)
    assert type(made) is network
    assert {name: made.settings[name] for name in ("rounds", "order", "cut")} == {
        "rounds": rounds, "order": order, "cut": "halving",
    }  # fmt: skip
    assert made.space == space
    assert discriminator.partial and discriminator.space.end_id is None
    one_shot = "mlp" if kind == "arrays" else "conv"
    assert not networks(kind, space, generator=one_shot)[1].partial


@pytest.mark.parametrize(("kind", "space"), [("arrays", SampleSpace((6,), 3)), ("text", SampleSpace((6,), 3))])
@pytest.mark.parametrize("generator", ["masked", "causal"])
def test_what_is_asked_for_counts(kind: str, space: SampleSpace, generator: str) -> None:
    made, _ = networks(kind, space, generator=generator, rounds="all", order="random", cut="equal")
    assert made.sizes == (1,) * 6
    assert (made.settings["order"], made.settings["cut"]) == ("random", "equal")
    assert networks(kind, space, generator=generator, rounds=3, cut="1, 2,3")[0].sizes == (1, 2, 3)
    assert networks(kind, space, generator=generator, cut="1,5")[0].sizes == (1, 5), "as many rounds as sizes"


@pytest.mark.parametrize(
    ("space", "options", "network"),
    [
        (SampleSpace((512,), 2), {}, CausalMLPGenerator),
        (SampleSpace((513,), 2), {}, CausalMLPGenerator),
        (SampleSpace((513,), 2), {"rounds": 4}, CausalMLPGenerator),
        (SampleSpace((513,), 2), {"cut": "equal"}, CausalMLPGenerator),
        (SampleSpace((513,), 2), {"order": "random"}, CausalMLPGenerator),
        (SampleSpace((16, 32), 2), {}, CausalTransformerGenerator),
        (SampleSpace((16, 33), 2), {}, MLPGenerator),
    ],
)
def test_arrays_are_drawn_one_position_after_the_other_as_long_as_they_are_few(
    space: SampleSpace, options: dict[str, Any], network: Any
) -> None:
    made, discriminator = networks("arrays", space, **options)
    assert type(made) is network
    assert discriminator.partial == (network is not MLPGenerator)
    assert made.settings["width"] == max(256, getattr(made, "num_rounds", 1)) or network is CausalTransformerGenerator


@pytest.mark.parametrize(
    ("options", "rounds", "order"),
    [
        ({}, 256, "interleaved"),
        ({"generator": "causal"}, 256, "interleaved"),
        ({"order": "random"}, 256, "random"),
        ({"rounds": "all"}, 600, "left_to_right"),
        ({"rounds": 4}, 4, "left_to_right"),
        ({"cut": "300,300"}, 2, "left_to_right"),
    ],
)
def test_long_rows_are_drawn_in_rounds_of_positions_far_apart(options: dict[str, Any], rounds: int, order: str) -> None:
    made, _ = networks("arrays", SampleSpace((600,), 2), **options)
    assert (made.settings["rounds"], made.settings["order"], made.settings["width"]) == (
        rounds,
        order,
        max(256, rounds),
    )


@pytest.mark.parametrize(
    ("generator", "num_positions", "escort"),
    [("mlp", 6, 0.5), ("masked", 6, 1.0), ("causal", 6, 1.0), ("auto", 6, 1.0), ("auto", 600, 1.0)],
)
def test_rows_in_rounds_have_the_exact_gradient_of_alternatives(
    generator: str, num_positions: int, escort: float
) -> None:
    arrays = get_kind("arrays")
    config: Any = arrays.config_class.from_flat({"generator": generator})
    assert arrays.algorithm(config, SampleSpace((num_positions,), 3)).escort == escort
