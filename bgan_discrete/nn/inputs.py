"""How a discriminator reads codes: on a scale, as one-hots or through an embedding; always also soft one-hots."""

import math
from typing import Literal, final

import torch
from torch import Tensor, nn

from bgan_discrete.distributions.sampling import as_index, one_hot_codes
from bgan_discrete.errors import InputError

InputEncoding = Literal["scalar", "cosine", "onehot", "embedding"]
ONEHOT_MAX_CATEGORIES = 32
"""Up to this K, unordered codes are read as one-hots by default; above, through an embedding."""

MAX_COSINES = 4
"""Features of a code in the cosine encoding, or K - 1 where that is fewer."""


def default_encoding(num_categories: int, ordered: bool) -> InputEncoding:
    """The encoding that a discriminator uses by default.

    Args:
        num_categories: K.
        ordered: The codes are a scale (grey levels), not names (palette entries).

    Returns:
        A scalar for two categories, cosines for a scale, else one-hots for small K and an embedding above.
    """
    if num_categories == 2:
        return "scalar"
    if ordered:
        return "cosine"
    return "onehot" if num_categories <= ONEHOT_MAX_CATEGORIES else "embedding"


@final
class CodeInput(nn.Module):
    """Turns codes into features on the last axis, linearly in the one-hots.

    A table with one row of features for each category: a scale from -1 to 1 (``scalar``), the scale's first cosines
    (``cosine``), the identity (``onehot``) or learnt (``embedding``). Integer codes select rows; soft one-hots are
    multiplied with the table, with the same result.

    The cosines are ``-cos(pi j (k + 1/2) / K) / j^2`` for j = 1 .. `MAX_COSINES`: the first is nearly the scale itself,
    and the others let a discriminator see how often each level occurs, not only their mean.
    Neighbouring levels stay neighbours, because the higher cosines are small.

    Args:
        num_categories: K.
        encoding: One of the four.
        embedding_size: Features of a learnt row.
        partial: Also read the code K, which is hidden, and whose soft one-hot is zeros: by a row of its own where rows
            are learnt, else by zeros and a feature that says so.

    Raises:
        InputError: If the encoding is unknown.
    """

    def __init__(
        self, num_categories: int, encoding: InputEncoding, embedding_size: int = 16, partial: bool = False
    ) -> None:
        super().__init__()
        self.num_categories = num_categories
        self.encoding = encoding
        self.partial = partial
        self.scale: Tensor
        if encoding in ("scalar", "cosine"):
            scale = _cosines(num_categories) if encoding == "cosine" else torch.linspace(-1, 1, num_categories)[:, None]
            self.register_buffer("scale", scale, persistent=False)
            self.num_features = scale.shape[1]
        elif encoding == "onehot":
            # Nothing but a dtype: that of the network, which its one-hots must have.
            self.register_buffer("scale", torch.empty(0), persistent=False)
            self.num_features = num_categories
        elif encoding == "embedding":
            self.table = nn.Embedding(num_categories + partial, embedding_size)
            self.num_features = embedding_size
        else:
            raise InputError(f"encoding must be 'scalar', 'cosine', 'onehot' or 'embedding', got {encoding!r}")
        if partial and encoding != "embedding":
            self.num_features += 1

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
        if not self.partial:
            return self._features(codes, soft)
        if self.encoding == "embedding":
            hidden = self.table.weight[self.num_categories]
            if not soft:
                return self.table(as_index(codes))
            return self._features(codes, soft) + (1 - codes.sum(-1, keepdim=True)).to(hidden.dtype) * hidden
        if soft:
            features = self._features(codes, soft)
            return torch.cat([features, (1 - codes.sum(-1, keepdim=True)).to(features.dtype)], dim=-1)
        is_hidden = (codes == self.num_categories)[..., None]
        features = self._features(codes.clamp_max(self.num_categories - 1), soft)
        return torch.cat([features.masked_fill(is_hidden, 0), is_hidden.to(features.dtype)], dim=-1)

    def _features(self, codes: Tensor, soft: bool) -> Tensor:
        """Features of codes of which none is hidden."""
        if self.encoding in ("scalar", "cosine") and soft:
            return codes.to(self.scale.dtype) @ self.scale
        if self.encoding == "cosine":
            return nn.functional.embedding(as_index(codes), self.scale)
        if self.encoding == "scalar":
            return (codes.to(self.scale.dtype) * (2 / (self.num_categories - 1)) - 1)[..., None]
        if self.encoding == "onehot":
            return (codes if soft else one_hot_codes(codes, self.num_categories)).to(self.scale.dtype)
        weight = self.table.weight[: self.num_categories]
        return codes.to(weight.dtype) @ weight if soft else self.table(as_index(codes))


def hard_codes(codes: Tensor) -> Tensor:
    """Of soft one-hots ``[..., K]`` the likeliest code, K where it is rather hidden; integers stay what they are."""
    if not codes.is_floating_point():
        return codes
    soft = codes.detach()
    return soft.argmax(-1).masked_fill(soft.sum(-1) < 0.5, soft.shape[-1])


def _cosines(num_categories: int) -> Tensor:
    """The table of the cosine encoding, ``[K, min(MAX_COSINES, K - 1)]``."""
    frequency = torch.arange(1, min(MAX_COSINES, num_categories - 1) + 1, dtype=torch.float64)
    position = (torch.arange(num_categories, dtype=torch.float64)[:, None] + 0.5) / num_categories
    return (-torch.cos(math.pi * frequency * position) / frequency**2).to(torch.get_default_dtype())
