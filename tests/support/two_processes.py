"""Two processes in one: each has half of the latents, and hears what the other says."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.parallel import Processes


def by_two_processes(compute: Callable[[Any, Processes], Any], parts: Sequence[Any]) -> list[Any]:
    """What each of two processes finds in its part.

    Everything is computed twice: what a process gathers in the second round is what both said in the first.

    Args:
        compute: A function of a part and of the processes; what it gathers must not depend on what it gathered before.
        parts: Of the two.

    Returns:
        Both results.
    """
    heard: list[list[Tensor]] = []
    found: list[Any] = []
    for _ in range(2):
        said: list[list[Tensor]] = [[], []]

        class Half(Processes):
            def gather(self, values: Tensor, said: Any = said, heard: Any = heard) -> Tensor:
                place = len(said[self.rank])
                said[self.rank].append(values.detach().clone())
                return torch.stack([part[place] for part in heard] or [values.detach()] * self.size)

        found = [compute(part, Half(rank, len(parts))) for rank, part in enumerate(parts)]
        heard = said
    return found
