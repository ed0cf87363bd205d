"""Log-probabilities of codes under a linear layer and a softmax, without the logits of all positions at once.

Letters: B rows (positions of all sequences), W features, K categories.
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
    """``log_softmax(features @ weight.T + bias)[b, codes[b]]``, with at most ``chunk_elements`` logits in memory.

    The backward pass computes the logits of a chunk again. That costs one more matrix product, and saves all memory but
    that of the layer's gradients, whatever B and K are. Products run in the precision of autocast, sums in float32 at
    least.

    Args:
        features: ``[B, W]``.
        weight: ``[K, W]``.
        bias: ``[K]``.
        codes: Integers ``[B]`` in ``[0, K)``.
        chunk_elements: The most logits at a time; at least one row's.

    Returns:
        ``[B]``, float32 (float64 where the features are), differentiable once.

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


def _logits(features_BW: Tensor, weight_KW: Tensor, bias: Tensor) -> Tensor:
    logits_BK = features_BW @ weight_KW.t()
    logits_BK = logits_BK if logits_BK.dtype == torch.float64 else logits_BK.float()
    return logits_BK.add_(bias)


class _LinearLogProb(torch.autograd.Function):
    """See `linear_log_prob`."""

    @staticmethod
    def forward(ctx: Any, features_BW: Tensor, weight_KW: Tensor, bias: Tensor, codes: Tensor, rows: int) -> Tensor:
        log_probs, log_normalizers = [], []
        for some_features, some_codes in zip(features_BW.split(rows), codes.split(rows), strict=True):
            logits_BK = _logits(some_features, weight_KW, bias)
            log_normalizer = torch.logsumexp(logits_BK, dim=1)
            log_probs.append(logits_BK.gather(1, some_codes[:, None]).squeeze(1) - log_normalizer)
            log_normalizers.append(log_normalizer)
        ctx.save_for_backward(features_BW, weight_KW, bias, codes, torch.cat(log_normalizers))
        ctx.rows = rows
        return torch.cat(log_probs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # 1. Room for the gradients that are asked for; sums over the chunks in the precision of the result.
        features_BW, weight_KW, bias, codes, log_normalizer = ctx.saved_tensors
        needs_features, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        to_features = torch.empty_like(features_BW) if needs_features else None
        to_weight = torch.zeros_like(weight_KW, dtype=gradient.dtype) if needs_weight else None
        to_bias = torch.zeros_like(bias, dtype=gradient.dtype) if needs_bias else None

        for start in range(0, len(features_BW), ctx.rows):
            # 2. Of a chunk, the gradient with respect to the logits: d log softmax[x] / d logits = onehot(x) - softmax.
            rows = slice(start, start + ctx.rows)
            row_gradients = gradient[rows, None]
            probs_BK = _logits(features_BW[rows], weight_KW, bias).sub_(log_normalizer[rows, None]).exp_()
            to_logits_BK = probs_BK.mul_(-row_gradients).scatter_add_(1, codes[rows, None], row_gradients)

            # 3. From the logits back to what they were computed from.
            if to_bias is not None:
                to_bias += to_logits_BK.sum(0)
            to_logits_BK = to_logits_BK.to(weight_KW.dtype)
            if to_features is not None:
                torch.mm(to_logits_BK, weight_KW, out=to_features[rows])
            if to_weight is not None:
                to_weight += to_logits_BK.t() @ features_BW[rows]

        # 4. In the precision of the inputs; none for the codes and the number of rows.
        return (
            to_features,
            None if to_weight is None else to_weight.to(weight_KW.dtype),
            None if to_bias is None else to_bias.to(bias.dtype),
            None,
            None,
        )
