"""The moving average of a generator's weights, which samples better than the generator itself."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

EMA_WARMUP = 10
"""The average's decay at step t is at most (1 + t) / (EMA_WARMUP + t), so that it forgets the initial weights."""


class MovingAverage(AveragedModel):
    """An exponential moving average, ``module``, of weights and buffers, in eval mode; it never waits for the device.

    It forgets its start; a ``decay`` of 0 averages nothing. Buffers of whole numbers are copied. ``num_averaged``
    counts the updates, as the buffer ``n_averaged`` on the device does.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.eval()
        self._decay = decay
        self.num_averaged = 0

    @torch.no_grad()
    def update_parameters(self, network: nn.Module) -> None:
        """Move towards the weights of ``network``."""
        count = self.num_averaged
        weight = 1 - min(self._decay, (1 + count) / (EMA_WARMUP + count)) if count else 1.0
        averages = [*self.module.parameters(), *self.module.buffers()]
        pairs = list(zip(averages, [*network.parameters(), *network.buffers()], strict=True))
        averaged = [(average, current) for average, current in pairs if average.is_floating_point()]
        torch._foreach_lerp_([average for average, _ in averaged], [current for _, current in averaged], weight)
        for average, current in pairs:
            if not average.is_floating_point():
                average.copy_(current)
        self.n_averaged.add_(1)
        self.num_averaged += 1

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load what `state_dict` returned, with the number of updates; as in `torch.nn.Module`."""
        keys = super().load_state_dict(state_dict, strict, assign)
        self.num_averaged = int(self.n_averaged)
        return keys
