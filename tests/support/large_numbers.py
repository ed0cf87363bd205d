"""Finite log weights of every size, and arithmetic that is exact enough for them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, localcontext

import torch
from hypothesis import strategies as st

SIZES = (0.0, 1e-30, 1.0, 40.0, 1e5, 1e7, 1e30, 3e38)


@st.composite
def large_log_weights(draw: st.DrawFn) -> torch.Tensor:
    """Finite F of every size, equal or mixed, ``[M, N]`` of a float dtype."""
    shape = draw(st.tuples(st.integers(2, 5), st.integers(1, 3)))
    sizes = st.sampled_from([sign * size for size in SIZES for sign in (1, -1)])
    number = st.builds(lambda size, more: size + more, sizes, st.sampled_from([0.0, 0.0, 0.5, -2.0]))
    if draw(st.booleans()):
        base = draw(sizes)
        number = st.sampled_from([base, base, base * 0.999, base - 1.0])
    values = draw(st.lists(number, min_size=math.prod(shape), max_size=math.prod(shape)))
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
    return torch.tensor(values, dtype=torch.float64).clamp(-3e38, 3e38).to(dtype).reshape(shape)


def log_sum(values: list[Decimal]) -> Decimal:
    return max(values) + sum((value - max(values)).exp() for value in values).ln()


@contextmanager
def sixty_digits() -> Iterator[None]:
    """Decimals of so many, beside which an F of 3e38 leaves twenty for a logarithm."""
    with localcontext() as context:
        context.prec = 60
        yield
