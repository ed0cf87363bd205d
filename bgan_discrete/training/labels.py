"""Labels of the data, and of samples to be drawn."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator

SHOWN = 64
"""Samples that are shown while a generator without classes trains."""

SHOWN_CLASSES, SHOWN_OF_CLASS = 20, 8
"""While a conditional generator trains, samples of at most this many classes are shown, this many of each."""


def checked_labels(
    labels: np.ndarray | Tensor | None, num_samples: int, generator: Generator, discriminator: Discriminator
) -> Tensor | None:
    """The data's labels, int64 on the CPU, or None; raises InputError if they do not fit the networks."""
    num_classes = generator.num_classes
    for who, known in (("generator", num_classes), ("discriminator", discriminator.num_classes)):
        if labels is None and known is not None:
            raise InputError(f"labels must be given, since the {who} has {known} classes")
        if labels is not None and known is None:
            raise InputError(f"labels need a {who} with num_classes, got one without")
        if known != num_classes:
            raise InputError(f"num_classes must be the same everywhere, got {num_classes} and {known} ({who})")
    if labels is None or num_classes is None:
        return None

    numbers = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if numbers.dtype.kind not in "iu" or numbers.shape != (num_samples,):
        shape = list(numbers.shape)
        raise InputError(f"labels must be integers, one for each of {num_samples} codes, got {numbers.dtype} {shape}")
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high >= num_classes:
        raise InputError(f"labels must be in [0, {num_classes}), got {low if low < 0 else high}")
    return torch.from_numpy(numbers.astype(np.int64))


def labels_of_samples(
    labels: Sequence[int] | np.ndarray | None, num_samples: int, num_classes: int | None
) -> np.ndarray | None:
    """The label of each sample that is to be drawn, int64 ``[num_samples]``; None without classes.

    Sample i has ``labels[i * L // num_samples]`` of the L labels, all classes if None, so that each gets an equal
    share, in their order. Raises InputError if they are not in ``[0, C)``, or more than the samples.
    """
    if num_classes is None:
        if labels is not None:
            raise InputError("labels need a model that was trained with them (conditional); this one has no classes")
        return None
    # All classes may be more than the samples: then there is one of each of some, evenly spaced.
    wanted = np.arange(num_classes) if labels is None else np.asarray(labels)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu" or len(wanted) == 0:
        raise InputError(f"labels must be integers, one after the other, got {wanted.dtype} {list(wanted.shape)}")
    outside = wanted[(wanted < 0) | (wanted >= num_classes)]
    if len(outside):
        raise InputError(f"labels must be in [0, {num_classes}), got {outside[0]}")
    if labels is not None and len(wanted) > num_samples:
        raise InputError(f"labels must be at most as many as num_samples = {num_samples}, got {len(wanted)}")
    return wanted[np.arange(num_samples) * len(wanted) // num_samples].astype(np.int64)


def shown_labels(num_classes: int | None) -> np.ndarray | None:
    """The labels of samples shown while a generator trains: `SHOWN_OF_CLASS` of each of the first `SHOWN_CLASSES`."""
    return None if num_classes is None else np.arange(min(num_classes, SHOWN_CLASSES)).repeat(SHOWN_OF_CLASS)
