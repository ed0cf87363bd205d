"""Log-probabilities of codes under a linear layer and a softmax, without the logits of all positions at once.

Letters: R rows (positions of all sequences), W features, K categories.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bgan_discrete.distributions.sampling import as_index

CHUNK_ELEMENTS = 2**22
"""The most logits that are held at a time (16 MiB in float32), on any device: more rows are no faster."""


def linear_log_prob(
    features: Tensor, weight: Tensor, bias: Tensor, codes: Tensor, chunk_elements: int = CHUNK_ELEMENTS
) -> Tensor:
    """``log_softmax(features @ weight.T + bias)[r, codes[r]]``, with at most so many logits in memory.

    The backward pass computes the logits of a chunk again, so that its price is one more matrix product and its memory
    that of the layer's gradients, whatever R and K are. Products run in the precision of autocast, sums in float32 at
    least.

    Args:
        features: ``[R, W]``.
        weight: ``[K, W]``.
        bias: ``[K]``.
        codes: Integers ``[R]`` in ``[0, K)``.
        chunk_elements: The most logits at a time; at least one row's.

    Returns:
        ``[R]``, float32 (float64 where the features are), differentiable once.

    Source:
        The plan of Wijmans et al., "Cut your losses in large-vocabulary language models" (2025), without its filter.
    """
    device_type = features.device.type
    if torch.is_autocast_enabled(device_type):
        # Casts outside the function, so that the gradients find their way back to each tensor's own precision.
        dtype = torch.get_autocast_dtype(device_type)
        features, weight = features.to(dtype), weight.to(dtype)
    rows = max(1, chunk_elements // len(weight))
    apply: Callable[..., Tensor] = _LinearLogProb.apply
    return apply(features, weight, bias, as_index(codes), rows)


def _logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    logits = features @ weight.t()
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.add_(bias)


class _LinearLogProb(torch.autograd.Function):
    """See `linear_log_prob`."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, index: Tensor, rows: int) -> Tensor:
        found, log_normalizers = [], []
        for part, chosen in zip(features.split(rows), index.split(rows), strict=True):
            logits = _logits(part, weight, bias)
            log_normalizer = torch.logsumexp(logits, dim=1)
            found.append(logits.gather(1, chosen[:, None]).squeeze(1) - log_normalizer)
            log_normalizers.append(log_normalizer)
        ctx.save_for_backward(features, weight, bias, index, torch.cat(log_normalizers))
        ctx.rows = rows
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias, index, log_normalizer = ctx.saved_tensors
        needs_features, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        to_features = torch.empty_like(features) if needs_features else None
        # Sums over the chunks in the precision of the result.
        to_weight = torch.zeros_like(weight, dtype=gradient.dtype) if needs_weight else None
        to_bias = torch.zeros_like(bias, dtype=gradient.dtype) if needs_bias else None
        for start in range(0, len(features), ctx.rows):
            part = slice(start, start + ctx.rows)
            # d log softmax[x] / d logits = onehot(x) - softmax
            by_row = gradient[part, None]
            to_logits = _logits(features[part], weight, bias).sub_(log_normalizer[part, None]).exp_().mul_(-by_row)
            to_logits.scatter_add_(1, index[part, None], by_row)
            if to_bias is not None:
                to_bias += to_logits.sum(0)
            to_logits = to_logits.to(weight.dtype)
            if to_features is not None:
                torch.mm(to_logits, weight, out=to_features[part])
            if to_weight is not None:
                product = to_logits.t() @ features[part]
                to_weight += product
        return (
            to_features,
            None if to_weight is None else to_weight.to(weight.dtype),
            None if to_bias is None else to_bias.to(bias.dtype),
            None,
            None,
        )
