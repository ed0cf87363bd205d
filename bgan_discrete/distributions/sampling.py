"""Exact samplers that draw many codes from each categorical distribution at once.

All of them draw independently: stratified or antithetic draws would bias the leave-one-out baselines of the estimators.

Letters: M draws, K categories, ``...`` any shape of independent categoricals (``[N, P]`` in the training step), P that
shape flattened.
"""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.errors import InputError

COMPARISON_MAX_CATEGORIES = 64
"""Up to this K, comparing one uniform with the cumulated probabilities is the fastest exact sampler."""

SEARCH_MAX_DRAWS = 1
"""Above `COMPARISON_MAX_CATEGORIES`, a binary search is faster than ``torch.multinomial`` up to this many draws."""

UNIFORMS_AT_ONCE = {"cpu": 2**17, "other": 2**26}
"""About this many uniforms exist at a time: on a CPU they stay in the cache, and memory grows with the codes alone."""

BYTES_AT_ONCE = 2**19
"""About this many random bytes exist at a time, on a CPU."""

BYTES_MIN_POSITIONS, BYTES_MIN_DRAWS = 2**13, 8
"""Where K > 2, bytes are compared from this many categoricals and draws of each on; below, it does not pay."""

FEW_CATEGORIES, FEW_CATEGORIES_FROM = 12, 2**14
"""Up to this many categories, and from this many logits on, a softmax on a CPU goes category by category."""

MULTINOMIAL_MAX_CATEGORIES = 2**24
"""``torch.multinomial`` takes no more categories than this."""


def code_dtype(num_categories: int) -> torch.dtype:
    """The smallest integer dtype that holds codes in ``[0, num_categories)``.

    Args:
        num_categories: K >= 2.

    Returns:
        ``torch.uint8`` up to 256 categories, ``torch.int16`` up to 32,768, else ``torch.int32``.

    Raises:
        InputError: If K is below 2 or above 2^24.
    """
    if not 2 <= num_categories <= MULTINOMIAL_MAX_CATEGORIES:
        raise InputError(f"num_categories must be between 2 and 2**24, got {num_categories}")
    if num_categories <= 256:
        return torch.uint8
    if num_categories <= 32768:
        return torch.int16
    return torch.int32


def as_index(codes: Tensor) -> Tensor:
    """Cast codes to int64 so that they can index a tensor; uint8 would silently be a boolean mask.

    Args:
        codes: Integers of any shape.

    Returns:
        The same values as int64.

    Raises:
        InputError: If the codes are not integers.
    """
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise InputError(f"codes must be integers, got dtype {codes.dtype}")
    return codes.long()


def one_hot_codes(codes: Tensor, num_categories: int) -> Tensor:
    """One-hots by comparison, without an int64 tensor and without waiting for the device.

    Args:
        codes: Integers ``[...]`` in ``[0, K)``.
        num_categories: K.

    Returns:
        ``[..., K]`` of torch's default dtype; zeros for a code outside ``[0, K)``.

    Raises:
        InputError: If the codes are not integers.
    """
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise InputError(f"codes must be integers, got dtype {codes.dtype}")
    categories = torch.arange(num_categories, device=codes.device, dtype=codes.dtype)
    return (codes[..., None] == categories).to(torch.get_default_dtype())


@torch.no_grad()
def sample_categorical(logits: Tensor, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
    """Draw ``num_draws`` independent codes from every categorical distribution.

    Dispatches by K: one comparison for K = 2, those with the cumulated probabilities up to `COMPARISON_MAX_CATEGORIES`
    (on a CPU of random bytes, where there are many), above it a binary search for few draws and ``torch.multinomial``
    for many.

    Args:
        logits: ``[..., K]``, unnormalised log-probabilities, finite.
        num_draws: M >= 1.
        rng: Source of the random numbers, on the device of the logits; torch's global one if None.

    Returns:
        Codes ``[M, ...]`` of dtype `code_dtype`.

    Raises:
        InputError: If ``num_draws`` < 1 or K is out of range.

    Examples:
        >>> sample_categorical(torch.tensor([[-100.0, 0.0, -100.0]]), num_draws=3)
        tensor([[1],
                [1],
                [1]], dtype=torch.uint8)
    """
    check_at_least_one(num_draws=num_draws)
    num_categories = logits.shape[-1]
    code_dtype(num_categories)
    if num_categories > COMPARISON_MAX_CATEGORIES and num_draws > SEARCH_MAX_DRAWS:
        return sample_by_multinomial(logits, num_draws, rng)
    if num_categories > COMPARISON_MAX_CATEGORIES:
        return search_codes(logits, torch.rand((num_draws, *logits.shape[:-1]), generator=rng, device=logits.device))
    if num_categories == 2 and logits.device.type == "cpu":
        return _bernoulli_by_bytes(_bernoulli_thresholds(logits)[0], num_draws, rng)
    positions = logits.shape[:-1].numel()
    if logits.device.type == "cpu" and positions >= BYTES_MIN_POSITIONS and num_draws >= BYTES_MIN_DRAWS:
        return _compare_bytes(logits, num_draws, rng)
    thresholds = _bernoulli_thresholds(logits) if num_categories == 2 else _thresholds(logits)
    codes = torch.zeros((num_draws, *logits.shape[:-1]), dtype=code_dtype(num_categories), device=logits.device)
    for some_draws in codes.split(_draws_at_once(logits)):
        uniforms = torch.rand(some_draws.shape, generator=rng, device=logits.device)
        _count_thresholds(thresholds, uniforms, some_draws)
    return codes


def _bernoulli_by_bytes(probability_of_zero: Tensor, num_draws: int, rng: torch.Generator | None) -> Tensor:
    """Codes ``[M, ...]`` of two categories, 1 where ``u >= p(0) [...]``, from a random byte for most of them."""
    # A uniform is u = (byte + rest) / 256, and 256 p(0) = byte of p(0) + threshold. If the bytes differ, they decide;
    # only where they are equal, once in 256 times, is the rest drawn. Codes are exact to 2^-32 with an eighth of the
    # random bits. (An accelerator would have to wait for the number of undecided codes.)
    scaled = (probability_of_zero * 256).flatten()
    byte_of_zero = scaled.clamp_max(255).to(torch.uint8)
    threshold = scaled - byte_of_zero
    num_positions = scaled.numel()
    codes_MP = torch.empty((num_draws, num_positions), dtype=torch.uint8)
    for some_draws in codes_MP.split(max(1, BYTES_AT_ONCE // max(num_positions, 1))):
        bytes_MP = _random_bytes(some_draws.shape, rng)
        torch.gt(bytes_MP, byte_of_zero, out=some_draws.view(torch.bool))
        undecided = _true_places((bytes_MP == byte_of_zero).flatten())
        rest = torch.rand(len(undecided), generator=rng)
        is_one = rest >= threshold.gather(0, undecided.remainder(num_positions))
        some_draws.view(-1).scatter_(0, undecided, is_one.view(torch.uint8))
    return codes_MP.view(num_draws, *probability_of_zero.shape)


def _random_bytes(shape: torch.Size, rng: torch.Generator | None) -> Tensor:
    """Uniform bytes, uint8 of a shape, eight from each 64-bit word that is drawn."""
    count = shape.numel()
    words = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None, generator=rng)
    return words.view(torch.uint8)[:count].view(shape)


def _true_places(flags: Tensor) -> Tensor:
    """``flags.nonzero()`` of booleans ``[n]``, fast where few are true: whole words of eight are looked at first."""
    whole = len(flags) // 8 * 8
    words = flags[:whole].view(-1, 8)
    nonzero_words = words.view(torch.int64).flatten().nonzero().squeeze(1)
    # Of each true flag: 8 times the row among the words that are not zero, plus its column.
    row_and_column = words[nonzero_words].flatten().nonzero().squeeze(1)
    indices = nonzero_words.gather(0, row_and_column >> 3).mul_(8).add_(row_and_column & 7)
    if whole == len(flags):
        return indices
    return torch.cat([indices, flags[whole:].nonzero().squeeze(1) + whole])


def _compare_bytes(logits: Tensor, num_draws: int, rng: torch.Generator | None) -> Tensor:
    """Codes ``[M, ...]``, the number of thresholds at or below u, as `_bernoulli_by_bytes` with K - 1 thresholds."""
    # The byte of u decides about thresholds in other bytes; where it holds thresholds itself, the rest of u is drawn.
    # 1. The thresholds, 256 times P(code <= k), and the bytes that hold them.
    scaled_KP = _distribution_function_by_category(logits, 256)
    if scaled_KP is None:
        scaled_KP = _distribution_function(logits, 256).flatten(0, -2).t()
    threshold_bytes_KP = _side_by_side(scaled_KP.clamp_max(255).to(torch.uint8)[:-1])

    # 2. Block by block of draws and positions, so that the random bytes stay in the cache.
    num_positions = scaled_KP.shape[1]
    codes_MP = torch.empty((num_draws, num_positions), dtype=torch.uint8)
    for some_draws in codes_MP.split(BYTES_AT_ONCE // BYTES_MIN_POSITIONS):
        width = BYTES_AT_ONCE // len(some_draws)
        for start in range(0, num_positions, width):
            block = slice(start, start + width)
            codes_of_block = _compare_block(scaled_KP[:, block], threshold_bytes_KP[:, block], len(some_draws), rng)
            some_draws[:, block] = codes_of_block
    return codes_MP.view(num_draws, *logits.shape[:-1])


def _compare_block(
    scaled_KP: Tensor, threshold_bytes_KP: Tensor, num_draws: int, rng: torch.Generator | None
) -> Tensor:
    """Codes ``[M, P]`` of `_compare_bytes` for some of its draws and positions."""
    shape = torch.Size((num_draws, scaled_KP.shape[1]))
    # Thresholds in lower bytes are below u, those in the same byte perhaps: the code is at least and at most these.
    least_MP, most_MP = torch.zeros(shape, dtype=torch.uint8), torch.zeros(shape, dtype=torch.uint8)
    is_below = torch.empty(shape, dtype=torch.bool)
    bytes_MP = _random_bytes(shape, rng)
    for threshold_byte in threshold_bytes_KP:
        # A boolean is a byte already: no cast.
        least_MP += torch.gt(bytes_MP, threshold_byte, out=is_below).view(torch.uint8)
        most_MP += torch.ge(bytes_MP, threshold_byte, out=is_below).view(torch.uint8)
    _decide(scaled_KP, bytes_MP.view(-1), least_MP.view(-1), most_MP.view(-1), rng)
    return least_MP


def _decide(scaled_KP: Tensor, bytes_of_u: Tensor, least: Tensor, most: Tensor, rng: torch.Generator | None) -> None:
    """Raise codes ``least [M P]``, in place, by the thresholds in the very byte of u that are at or below u."""
    # Where `least` and `most` agree there are none. Elsewhere the rest of u is drawn and compared with them in order.
    # One-dimensional gathers are several times faster than indexing: threshold k of position p as one of a flat tensor.
    (num_categories, num_positions), (category_stride, position_stride) = scaled_KP.shape, scaled_KP.stride()
    size = (num_categories - 1) * category_stride + (num_positions - 1) * position_stride + 1
    thresholds = scaled_KP.as_strided((size,), (1,))

    undecided = (least != most).nonzero().squeeze(1)
    offset = undecided.remainder(num_positions).mul_(position_stride)
    rest = torch.rand(len(undecided), generator=rng)
    byte, code, last = (values.gather(0, undecided) for values in (bytes_of_u, least, most))
    while len(undecided):  # once for most: few bytes hold several thresholds
        is_reached = rest >= thresholds.gather(0, offset + code.long().mul_(category_stride)) - byte
        code += is_reached.view(torch.uint8)
        least.scatter_(0, undecided, code)
        # Where a threshold was reached and another is in the same byte, that one is next.
        left = (is_reached & (code < last)).nonzero().squeeze(1)
        undecided, offset, rest, byte, code, last = (
            values.gather(0, left) for values in (undecided, offset, rest, byte, code, last)
        )


def _draws_at_once(logits: Tensor) -> int:
    limit = UNIFORMS_AT_ONCE["cpu" if logits.device.type == "cpu" else "other"]
    return max(1, limit * logits.shape[-1] // max(logits.numel(), 1))


def _count_thresholds(thresholds: Tensor, uniforms: Tensor, codes: Tensor) -> None:
    """Add to codes ``[M, ...]``, in place, the number of thresholds ``[K - 1, ...]`` at or below ``u [M, ...]``."""
    for threshold in thresholds:
        # A boolean is a byte already: no cast for codes of one byte.
        codes += (uniforms >= threshold).view(torch.uint8)


def sharpen(logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Logits of a sharper (or flatter) distribution: a temperature, then the most probable categories only.

    Args:
        logits: ``[..., K]``, finite.
        temperature: Divides the logits, > 0; below 1 sharpens.
        top_k: Keep only this many of the most probable categories, >= 1; None for all.
        top_p: Keep only the fewest most probable categories that together have at least this probability, in (0, 1];
            None for all.

    Returns:
        ``[..., K]``, finite: what is left out has probability 0.

    Raises:
        InputError: If a value is out of its range.
    """
    check_sharpening(temperature, top_k, top_p)
    if temperature != 1:
        # The largest becomes 0: whatever the temperature, none overflows upwards, and the probabilities are the same.
        least = torch.finfo(logits.dtype).min / 2
        divisor = max(temperature, torch.finfo(logits.dtype).tiny)  # what is smaller would be 0 there
        logits = ((logits - logits.amax(-1, keepdim=True)) / divisor).clamp_min(least)
    if top_k is not None and top_k < logits.shape[-1]:
        least_kept = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least_kept, torch.finfo(logits.dtype).min / 2)
    if top_p is not None and top_p < 1:
        ordered, categories = logits.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(-1)
        # The most probable category is always kept.
        left_out = probabilities.cumsum(-1) - probabilities >= top_p
        left_out[..., 0] = False
        left_out = torch.zeros_like(left_out).scatter(-1, categories, left_out)
        logits = logits.masked_fill(left_out, torch.finfo(logits.dtype).min / 2)
    return logits


def check_sharpening(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise InputError for a temperature, top_k or top_p out of its range."""
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InputError(f"temperature must be above 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p must be above 0 and at most 1, got {top_p}")


def bernoulli_codes(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Codes of two categories from uniforms: 1 where ``u >= p(0)``, so equal to `comparison_codes` for K = 2.

    Args:
        logits: ``[..., 2]``.
        uniforms: ``[M, ...]`` in ``[0, 1)``.

    Returns:
        uint8 codes ``[M, ...]``.
    """
    return (uniforms >= _bernoulli_thresholds(logits)[0]).to(torch.uint8)


def comparison_codes(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Codes from uniforms by inverting the distribution function: the number of thresholds at or below ``u``.

    Accumulates straight into the codes' small dtype, one category at a time.

    Args:
        logits: ``[..., K]``.
        uniforms: ``[M, ...]`` in ``[0, 1)``.

    Returns:
        Codes ``[M, ...]`` of dtype `code_dtype`.
    """
    codes = torch.zeros(uniforms.shape, dtype=code_dtype(logits.shape[-1]), device=uniforms.device)
    _count_thresholds(_thresholds(logits), uniforms, codes)
    return codes


def search_codes(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Codes from uniforms by binary search: the same map as `comparison_codes`, in ``log2 K`` steps.

    Args:
        logits: ``[..., K]``.
        uniforms: ``[M, ...]`` in ``[0, 1)``.

    Returns:
        Codes ``[M, ...]`` of dtype `code_dtype`.
    """
    draws_last = uniforms.movedim(0, -1).contiguous()
    # The last category's threshold is 1, which no uniform reaches.
    codes = torch.searchsorted(_distribution_function(logits), draws_last, right=True, out_int32=True)
    return codes.movedim(-1, 0).to(code_dtype(logits.shape[-1]))


@torch.no_grad()
def sample_by_multinomial(logits: Tensor, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
    """Draw by ``torch.multinomial`` with replacement: the choice for large K.

    Args:
        logits: ``[..., K]``.
        num_draws: M.
        rng: As in `sample_categorical`.

    Returns:
        Codes ``[M, ...]`` of dtype `code_dtype`.
    """
    num_categories = logits.shape[-1]
    probabilities = torch.softmax(logits.float(), dim=-1).reshape(-1, num_categories)
    drawn = torch.multinomial(probabilities, num_draws, replacement=True, generator=rng)
    return drawn.t().to(code_dtype(num_categories)).reshape(num_draws, *logits.shape[:-1])


LatentKind = Literal["normal", "binary"]


def sample_latents(
    count: int, size: int, kind: str = "normal", rng: torch.Generator | None = None, device: Any = None
) -> Tensor:
    """Draw latents.

    Args:
        count: N.
        size: Z.
        kind: ``"normal"``: standard normal; ``"binary"``: each -1 or 1, so that there are at most ``2^Z`` latents, and
            none between them.
        rng: Source of the random numbers; torch's global one if None.
        device: Where they are drawn.

    Returns:
        ``[N, Z]``, float32.

    Raises:
        InputError: If the kind is unknown.

    Examples:
        >>> sample_latents(2, 16).shape
        torch.Size([2, 16])
    """
    if kind == "normal":
        return torch.randn(count, size, generator=rng, device=device)
    check_latent_kind(kind)
    return torch.randint(0, 2, (count, size), generator=rng, device=device) * 2.0 - 1.0


def all_binary_latents(size: int, device: Any = None) -> Tensor:
    """Every binary latent once, in the order of binary numbers.

    Args:
        size: Z, at most 16.
        device: Where they are.

    Returns:
        ``[2^Z, Z]`` of -1 and 1, float32.

    Raises:
        InputError: If there are too many.

    Examples:
        >>> all_binary_latents(2).tolist()
        [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    if not 1 <= size <= 16:
        raise InputError(f"size must be between 1 and 16 to take all 2^size latents, got {size}")
    bits = torch.arange(2**size, device=device)[:, None] >> torch.arange(size - 1, -1, -1, device=device)
    return (bits % 2) * 2.0 - 1.0


def check_latent_kind(kind: str) -> str:
    """Raise InputError for latents of an unknown kind."""
    if kind not in get_args(LatentKind):
        raise InputError(f"latent_kind must be one of {', '.join(get_args(LatentKind))}, got {kind!r}")
    return kind


def _bernoulli_thresholds(logits: Tensor) -> Tensor:
    """``P(code = 0)`` of two categories, ``[1, ...]``."""
    return torch.sigmoid(logits[..., 0].float() - logits[..., 1].float())[None]


def _thresholds(logits: Tensor) -> Tensor:
    """``P(code <= k)`` for k = 0 .. K-2, ``[K - 1, ...]``, each contiguous so that comparisons run at full width."""
    cumulated_KP = _distribution_function_by_category(logits)
    if cumulated_KP is not None:
        return cumulated_KP[:-1].view(-1, *logits.shape[:-1])
    return _distribution_function(logits)[..., :-1].movedim(-1, 0).contiguous()


def _side_by_side(values_KP: Tensor) -> Tensor:
    """A contiguous copy of a matrix ``[K, P]``: of a transposed one, row by row, which is several times as fast."""
    return values_KP if values_KP.is_contiguous() else torch.stack(list(values_KP))


def _distribution_function_by_category(logits: Tensor, scale: int = 1) -> Tensor | None:
    """As `_distribution_function`, ``[K, P]``, where this layout is faster (few categories on a CPU); else None."""
    num_categories = logits.shape[-1]
    if logits.device.type != "cpu" or num_categories > FEW_CATEGORIES or logits.numel() < FEW_CATEGORIES_FROM:
        return None
    logits_KP = _side_by_side(logits.float().flatten(0, -2).t())
    cumulated_KP = (logits_KP - logits_KP.amax(0)).exp_()
    for k in range(1, num_categories):
        cumulated_KP[k] += cumulated_KP[k - 1]
    return cumulated_KP.div_(cumulated_KP[-1] / scale)


def _distribution_function(logits: Tensor, scale: int = 1) -> Tensor:
    """``P(code <= k)`` for k = 0 .. K-1, times a power of 2."""
    # Divided by the last sum, which in float32 is seldom exactly 1, so that impossible categories are never drawn.
    cumulated = torch.softmax(logits.float(), dim=-1).cumsum(-1)
    return cumulated.div_(cumulated[..., -1:] / scale)
