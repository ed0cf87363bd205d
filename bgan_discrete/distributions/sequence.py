"""Independent categorical distributions over the positions of a sequence that may end early.

Letters: N latents, M draws, L positions, K categories.
"""

import math

import torch
from torch import Tensor

from bgan_discrete.distributions.endings import counted_positions, pad_after_end
from bgan_discrete.distributions.factorized import FactorizedCategorical
from bgan_discrete.distributions.protocol import check_end_id
from bgan_discrete.distributions.sampling import sharpen
from bgan_discrete.errors import InputError


class SequenceCategorical(FactorizedCategorical):
    """Independent categorical distributions over the positions of a sequence that may end early.

    ``g(x | z) = prod_p softmax(logits[p])[x[p]]`` over the positions up to and including the first end; what is drawn
    behind it is padding and is ignored (see `bgan_discrete.distributions.endings`).

    Args:
        logits: ``[N, L, K]``, as in `FactorizedCategorical`.
        end_id: The category that ends a sequence; None where all have L codes.
    """

    def __init__(self, logits: Tensor, end_id: int | None = None) -> None:
        super().__init__(logits)
        if len(self.event_shape) != 1:
            raise InputError(f"logits of sequences must have shape [N, L, K], got {list(logits.shape)}")
        self.end_id = check_end_id(end_id, self.num_categories)

    def sample(self, num_draws: int, rng: torch.Generator | None = None, prompt: Tensor | None = None) -> Tensor:
        """Draw sequences ``[M, N, L]`` in their canonical form; arguments as in `FactorizedCategorical.sample`.

        Raises:
            InputError: If a prompt is given: independent positions cannot continue one.
        """
        if prompt is not None:
            raise InputError("prompt needs an autoregressive generator: this one draws all positions independently")
        return pad_after_end(super().sample(num_draws, rng), self.end_id)

    def sharpened(
        self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> "SequenceCategorical":
        """The distribution with its logits changed; as in `bgan_discrete.distributions.sampling.sharpen`."""
        return SequenceCategorical(sharpen(self.logits, temperature, top_k, top_p), self.end_id)

    def alternatives(self, draw: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Distribution`: the codes of a sequence are open, its length is not.

        An end put in the middle would hide the codes behind it, and another code put at the end would be followed by
        codes that were never drawn. So the position of the end is fixed (`fixed_log_prob`), and the alternatives of a
        code are all other codes except the end.
        """
        if self.end_id is None:
            return super().alternatives(draw)
        self._check_codes(draw[None])
        is_end = torch.arange(self.num_categories, device=draw.device) == self.end_id
        logits_NLK = self.logits.masked_fill(is_end, torch.finfo(self.logits.dtype).min / 2)
        is_open_NL = counted_positions(draw, self.end_id) & (draw != self.end_id)
        return torch.log_softmax(logits_NLK, dim=-1), is_open_NL

    def fixed_log_prob(self, codes: Tensor) -> Tensor | None:
        """See `Distribution`: the log-probability ``[M, N]`` of ending where the draws end."""
        if self.end_id is None:
            return None
        self._check_codes(codes)
        is_end = torch.arange(self.num_categories, device=codes.device) == self.end_id
        log_end_NL = self.log_probs[..., self.end_id]
        log_no_end_NL = torch.logsumexp(self.log_probs.masked_fill(is_end, -math.inf), dim=-1)
        log_prob_MNL = torch.where(codes == self.end_id, log_end_NL, log_no_end_NL)
        return (log_prob_MNL * counted_positions(codes, self.end_id)).sum(-1)

    def _counted(self, codes: Tensor) -> Tensor | None:
        return None if self.end_id is None else counted_positions(codes, self.end_id)
