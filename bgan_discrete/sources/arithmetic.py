"""True equations between two-digit numbers: a language whose every sentence and its probability are known."""

EQUATION_LENGTH = 8
"""Characters of an equation."""


def equations() -> list[str]:
    """All 6,480 sums and differences of two-digit numbers whose result has two digits, such as ``17+25=42``, in order.

    The data set ``arithmetic`` is uniform over them.
    """
    sums = [f"{a}+{b}={a + b}" for a in range(10, 90) for b in range(10, 100 - a)]
    differences = [f"{a}-{b}={a - b}" for a in range(20, 100) for b in range(10, a - 9)]
    return sums + differences
