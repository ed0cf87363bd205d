"""How a discriminator reads codes: as a scalar, as one-hots or through an embedding; soft one-hots always work too."""

from typing import Literal

import torch
from torch import Tensor, nn

from bgan_discrete.errors import InputError
from bgan_discrete.sampling import as_index

InputEncoding = Literal["scalar", "onehot", "embedding"]
ONEHOT_MAX_CATEGORIES = 32
"""Up to this K, unordered codes are read as one-hots by default; above, through an embedding."""


def default_encoding(num_categories: int, ordered: bool) -> InputEncoding:
    """The encoding that a discriminator uses unless told otherwise.

    Args:
        num_categories: K.
        ordered: The codes are a scale (grey levels), not names (palette entries).

    Returns:
        A scalar for a scale or two categories, else one-hots for small K and an embedding above.
    """
    if ordered or num_categories == 2:
        return "scalar"
    return "onehot" if num_categories <= ONEHOT_MAX_CATEGORIES else "embedding"


class CodeInput(nn.Module):
    """Turns codes into features on the last axis, linearly in the one-hots.

    A table with one row of features for each category: a scale from -1 to 1 (``scalar``), the identity (``onehot``) or
    learnt (``embedding``). Integer codes select rows; soft one-hots are multiplied with the table, so both agree.

    Args:
        num_categories: K.
        encoding: One of the three.
        embedding_size: Features of a learnt row.

    Raises:
        InputError: If the encoding is unknown.
    """

    def __init__(self, num_categories: int, encoding: InputEncoding, embedding_size: int = 16) -> None:
        super().__init__()
        self.num_categories = num_categories
        self.encoding = encoding
        self.scale: Tensor
        if encoding == "scalar":
            self.register_buffer("scale", torch.linspace(-1, 1, num_categories)[:, None], persistent=False)
            self.num_features = 1
        elif encoding == "onehot":
            self.num_features = num_categories
        elif encoding == "embedding":
            self.table = nn.Embedding(num_categories, embedding_size)
            self.num_features = embedding_size
        else:
            raise InputError(f"encoding must be 'scalar', 'onehot' or 'embedding', got {encoding!r}")

    def forward(self, codes: Tensor, event_ndim: int) -> Tensor:
        """Features of codes.

        Args:
            codes: Integers ``[B, *event_shape]``, or soft one-hots ``[B, *event_shape, K]`` of a float dtype.
            event_ndim: The number of axes of the event shape.

        Returns:
            ``[B, *event_shape, num_features]``.

        Raises:
            InputError: If the number of axes, or of categories of soft one-hots, does not fit.
        """
        soft = codes.is_floating_point()
        if codes.ndim != 1 + event_ndim + soft or (soft and codes.shape[-1] != self.num_categories):
            raise InputError(
                f"codes must be integers with {1 + event_ndim} axes, or soft one-hots with {2 + event_ndim} axes "
                f"and {self.num_categories} categories on the last; got {codes.dtype} of shape {list(codes.shape)}"
            )
        if self.encoding == "scalar":
            if soft:
                return codes @ self.scale.to(codes.dtype)
            return (codes.to(self.scale.dtype) * (2 / (self.num_categories - 1)) - 1)[..., None]
        if self.encoding == "onehot":
            return codes if soft else self._one_hot(codes)
        return codes @ self.table.weight.to(codes.dtype) if soft else self.table(as_index(codes))

    def _one_hot(self, codes: Tensor) -> Tensor:
        """One-hots by comparison, without the eightfold detour of an int64 one-hot tensor."""
        categories = torch.arange(self.num_categories, device=codes.device, dtype=codes.dtype)
        return (codes[..., None] == categories).to(torch.get_default_dtype())
