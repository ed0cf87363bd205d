"""Refuses updates that are inf or NaN, without waiting for the accelerator at each step."""

import torch
from torch import Tensor


class FiniteGuard:
    """Stops all updates after the first loss or gradient that is inf or NaN, without waiting for the device.

    An accelerator is idle while the host waits for its answer. A guard keeps a flag on the device instead, which tells
    the optimiser to leave the parameters alone (`torch.optim.Adam` and others with ``fused=True`` read it), from the
    first such update until `check` is called.

    Attributes:
        step: The number that `check` reports; the training loop sets it.
    """

    def __init__(self) -> None:
        self.step = 0
        self._first: Tensor | None = None
        self._updates: list[tuple[int, str]] = []

    def note(self, loss: Tensor, norm: Tensor, who: str) -> Tensor:
        """Record an update before it is applied.

        Args:
            loss: Scalar.
            norm: The gradient's norm, a scalar.
            who: Whose update it is.

        Returns:
            Scalar float32, 1 where this update, or one before it, must be skipped; else 0.
        """
        if self._first is None:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        # Of update u, 2 u means a loss that is inf or NaN, 2 u + 1 such a norm; -1 means neither.
        bad_loss = 2 * len(self._updates)
        fault = torch.where(torch.isfinite(norm), -1, bad_loss + 1).masked_fill(~torch.isfinite(loss), bad_loss)
        self._first = torch.where(self._first < 0, fault, self._first)
        self._updates.append((self.step, who))
        return (self._first >= 0).float()

    def check(self) -> str | None:
        """Ask the device, once for all updates since the last call.

        Returns:
            None, or which step was not taken, and what was inf or NaN in it.
        """
        updates, first = self._updates, -1 if self._first is None else int(self._first)
        self._updates, self._first = [], None
        if first < 0:
            return None
        step, who = updates[first // 2]
        return f"step {step} was not taken: the {who}'s {('loss', 'gradient norm')[first % 2]} is inf or NaN"
