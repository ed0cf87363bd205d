"""A small classifier of labelled codes: which classes a generator reaches, and features for the Fréchet distance."""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from bgan_discrete.errors import InputError
from bgan_discrete.nn.inputs import CodeInput, default_encoding

FEATURES = 64
MAX_TRAINING_ROWS = 20_000
BATCH_SIZE = 128
MIN_STEPS, MAX_STEPS = 600, 1000
"""A small data set is gone through many times, a large one a few times."""

LEARNING_RATE = 2e-3
_ROWS_AT_ONCE = 500
_SIDE_OF_LAST_MAP = 4


class ImageClassifier(nn.Module):
    """Convolutions at halving sizes, then one hidden layer whose activations are the features.

    Args:
        event_shape: ``(H, W)`` or ``(C, H, W)``.
        num_categories: K.
        num_classes: How many classes it tells apart.
        ordered: Whether codes are a scale.
    """

    def __init__(self, event_shape: tuple[int, ...], num_categories: int, num_classes: int, ordered: bool) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.read = CodeInput(num_categories, default_encoding(num_categories, ordered))
        self.event_ndim = len(event_shape)
        channels = event_shape[0] if self.event_ndim == 3 else 1
        layers: list[nn.Module] = []
        inputs, outputs, side = channels * self.read.num_features, 16, max(event_shape[-2:])
        while True:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs, outputs = outputs, min(2 * outputs, 64)
            if side <= _SIDE_OF_LAST_MAP:
                break
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            side = (side + 1) // 2
        self.convolve = nn.Sequential(*layers)
        with torch.no_grad():
            size = self._maps(torch.zeros(1, *event_shape, dtype=torch.uint8)).shape[1]
        self.hidden = nn.Sequential(nn.Dropout(0.2), nn.Linear(size, FEATURES), nn.ReLU())
        self.to_scores = nn.Linear(FEATURES, num_classes)

    def _maps(self, codes: Tensor) -> Tensor:
        x = self.read(codes, self.event_ndim)
        x = rearrange(x, "b h w f -> b f h w" if self.event_ndim == 2 else "b c h w f -> b (c f) h w")
        return self.convolve(x).flatten(1)

    def forward(self, codes: Tensor) -> Tensor:
        """Scores ``[B, num_classes]`` of codes ``[B, *event_shape]``."""
        return self.to_scores(self.hidden(self._maps(codes)))

    def features(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Activations of the last hidden layer, ``[n, 64]``, of codes ``[n, *event_shape]``."""
        return self._run(codes, lambda part: self.hidden(self._maps(part)))

    def predict(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """The most probable class of each of the codes ``[n, *event_shape]``."""
        return self._run(codes, self).argmax(1)

    def accuracy(self, codes: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
        """Share of codes ``[B, *event_shape]`` whose predicted class is their label, of labels ``[B]``."""
        return float((self.predict(codes) == labels).mean())

    @torch.no_grad()
    def _run(self, codes: NDArray[np.integer], function: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
        starts = range(0, len(codes), _ROWS_AT_ONCE)
        parts = (np.ascontiguousarray(codes[start : start + _ROWS_AT_ONCE]) for start in starts)
        return np.concatenate([function(torch.from_numpy(part)).numpy() for part in parts])


def train_classifier(
    codes: NDArray[np.integer],
    labels: NDArray[np.integer],
    num_categories: int,
    *,
    ordered: bool,
    num_classes: int | None = None,
    seed: int = 0,
    steps: int | None = None,
) -> ImageClassifier:
    """Train a small convolutional classifier on labelled codes, on the CPU, within seconds to a minute.

    Args:
        codes: Integers ``[n, H, W]`` or ``[n, C, H, W]`` in ``[0, K)``; `MAX_TRAINING_ROWS` are drawn of more.
        labels: ``[n]``, in ``[0, num_classes)``.
        num_categories: K.
        ordered: Whether codes are a scale.
        num_classes: How many classes there are; the largest label plus 1 if None.
        seed: Of everything random; torch's global generator is left as it was.
        steps: Of the training; as many as the data want if None.

    Returns:
        The classifier.

    Raises:
        InputError: If labels are negative or do not belong to the codes.
    """
    if len(codes) != len(labels) or len(codes) == 0:
        raise InputError(f"labels must be one for each of the {len(codes)} codes, got {len(labels)}")
    if labels.min() < 0:
        raise InputError(f"labels must not be negative, got {int(labels.min())}")
    num_classes = num_classes or int(labels.max()) + 1
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(codes))[:MAX_TRAINING_ROWS]
    inputs = torch.from_numpy(np.ascontiguousarray(codes[np.sort(rows)]))
    targets = torch.from_numpy(np.asarray(labels)[np.sort(rows)].astype(np.int64))
    steps = steps or int(np.clip(8 * len(rows) // BATCH_SIZE, MIN_STEPS, MAX_STEPS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ImageClassifier(tuple(codes.shape[1:]), num_categories, num_classes, ordered)
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        for _ in range(steps):
            batch = torch.from_numpy(rng.integers(len(rows), size=min(BATCH_SIZE, len(rows))))
            loss = nn.functional.cross_entropy(network(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()
