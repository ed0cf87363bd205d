"""What the options of drawing samples mean for a generator: temperature, rounds, a prompt, classes."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.distributions.sampling import check_sharpening
from bgan_discrete.errors import InputError
from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.players import Generator
from bgan_discrete.kinds.kind import GivenCodes
from bgan_discrete.models.format import shown
from bgan_discrete.nn import ContinuousConvGenerator
from bgan_discrete.nn.rounds import RoundsGenerator, cut_in_other_rounds
from bgan_discrete.space import SampleSpace

DRAWN_INSIDE, COMPLETED = 1, 2
"""Streams of one seed."""


def check_in_rounds(generator: Generator, option: str) -> None:
    """Raise InputError for an option of generators that draw in rounds, where this is none."""
    if not isinstance(generator, RoundsGenerator):
        raise InputError(
            f"{option} needs a generator that draws in rounds (masked, causal); this model is a "
            f"{type(generator).__name__}"
        )


def change_of(
    generator: Generator, temperature: float, top_k: int | None, top_p: float | None, rounds: int | None
) -> Callable[[Any], Any] | None:
    """What is drawn from in place of the generator's own distribution; None for that itself."""
    check_sharpening(temperature, top_k, top_p)
    is_sharpened = (temperature, top_k, top_p) != (1.0, None, None)
    if is_sharpened and isinstance(generator, ContinuousConvGenerator):
        raise InputError(f"temperature must be 1 for a generator of continuous grey levels, got {temperature}")
    if rounds is not None:
        check_at_least_one(rounds=rounds)
        check_in_rounds(generator, f"rounds {rounds}")
    num_rounds = None if rounds == generator.num_rounds else rounds
    if not is_sharpened and num_rounds is None:
        return None

    def change(distribution: Any) -> Any:
        if num_rounds is not None:
            distribution = distribution.in_rounds(num_rounds, cut_in_other_rounds(generator))
        return distribution.sharpened(temperature, top_k, top_p) if is_sharpened else distribution

    return change


def needs_weights(generator: Generator, given: GivenCodes) -> bool:
    """Whether what is given does not come first in a generator's order, so that draws of the rest need weights."""
    if given.allowed:
        return True
    device = next(generator.parameters()).device
    latents = draw_latents(generator, 1, torch.Generator(device))
    labels = None if generator.num_classes is None else torch.zeros(1, dtype=torch.long, device=device)
    distribution = generator(latents) if labels is None else generator(latents, labels)
    return not distribution.is_begun_by(torch.from_numpy(given.codes).to(device))


def prompt_of(generator: Generator, codec: Any, prompt: str) -> Tensor | None:
    """The codes of a prompt, int64 ``[T]``; None for an empty one."""
    if not prompt:
        return None
    if not generator.takes_prompt:
        raise InputError(
            "prompt needs an autoregressive generator (gru, transformer) or one that draws in rounds (masked, causal); "
            "this model is one-shot"
        )
    return torch.from_numpy(codec.prompt_codes(prompt).astype(np.int64))


def beginning(start: Tensor, space: SampleSpace, num_samples: int) -> Tensor:
    """Codes ``[num_samples, L]`` of sequences that begin with a prompt's, K where they are drawn."""
    codes = torch.full((num_samples, *space.event_shape), space.num_categories)
    codes[:, : len(start)] = start
    return codes


def class_numbers(generator: Generator, labels: Any) -> list[int] | None:
    """The numbers of the classes that are asked for by numbers or names; None for all."""
    if labels is None:
        return None
    if isinstance(labels, (str, int, np.integer)):
        labels = [labels]
    return [_class_number(generator, label) for label in labels]


def _class_number(generator: Generator, label: Any) -> int:
    """Of a name, or of a number, also one in digits that is no class's name."""
    count = generator.num_classes
    names = (generator.space.class_names or ()) if count is not None else ()
    if isinstance(label, str) and label in names:
        return names.index(label)
    if isinstance(label, (int, np.integer)) and not isinstance(label, bool):
        return int(label)
    # Numbers of classes have few digits; Python does not read thousands of them.
    if isinstance(label, str) and label.isdecimal() and len(label) < 10:
        return int(label)
    if count is None:
        return 0
    known = "" if not names else f" or one of {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
    raise InputError(f"labels must be numbers from 0 to {count - 1}{known}, got {shown(label)}")


def decoding_rng(seed: int | torch.Generator, stream: int = DRAWN_INSIDE) -> np.random.Generator:
    """The dice of what is no code: others than those of the codes, from the same seed.

    Of a source of codes they follow its state, which does not change.

    Args:
        seed: Of the codes, or their source.
        stream: `DRAWN_INSIDE` for numbers inside their bins, `COMPLETED` for what is not learnt.

    Returns:
        The dice.
    """
    if isinstance(seed, torch.Generator):
        return np.random.default_rng([*hashlib.blake2b(seed.get_state().numpy().tobytes()).digest(), stream])
    return np.random.default_rng([int(seed) % 2**64, stream])
