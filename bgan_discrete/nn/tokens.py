"""Discriminators of token ids of any length, such as prompts with their answers.

Letters: B sequences, L tokens of the longest, W units of a layer.
"""

from typing import cast, final

import torch
from torch import Tensor, nn

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.errors import InputError
from bgan_discrete.nn.sequences import GRUDiscriminator, _Block
from bgan_discrete.space import SampleSpace

HASH_FACTOR, HASH_MODULUS = 1_000_003, 2**31 - 1
"""Both primes; their product, and a code, fit into 63 bits."""


def framed_tokens(ids: Tensor, mask: Tensor) -> Tensor:
    """Codes of token ids: one more than the id, and 0 for the end behind them, of which every sequence has one.

    So whatever reads them up to the first end sees the same of a sequence however long the others of its batch are.

    Args:
        ids: Integers ``[B, L]``.
        mask: True ``[B, L]`` on the tokens of each sequence, which come first.

    Returns:
        ``[B, L + 1]``.
    """
    return nn.functional.pad((ids + 1).masked_fill(~mask, 0), (0, 1))


@final
class TokenGRU(nn.Module):
    """Token ids -> embedding -> gated recurrent units -> one log-ratio F of each sequence.

    Args:
        num_tokens: Of the vocabulary.
        width: Units of the embedding and of each layer.
        depth: Layers.

    Raises:
        InputError: If a size is below 1.

    Examples:
        >>> discriminator = TokenGRU(num_tokens=10, width=8)
        >>> discriminator(torch.tensor([[3, 9, 0], [1, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]]) > 0).shape
        torch.Size([2])
    """

    def __init__(self, num_tokens: int, width: int = 128, depth: int = 1) -> None:
        super().__init__()
        check_at_least_one(num_tokens=num_tokens)
        self.network = GRUDiscriminator(SampleSpace((1,), num_tokens + 1, end_id=0), width, depth)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """F ``[B]`` of ids ``[B, L]``, of which those count where the ``mask [B, L]`` is true."""
        return cast(Tensor, self.network(framed_tokens(ids, mask)))


@final
class TokenTransformer(nn.Module):
    """Token ids -> causal Transformer -> one log-ratio F, read where a sequence ends.

    Args:
        num_tokens: Of the vocabulary.
        max_tokens: Of the longest sequence that it will be given.
        width: Features of a token; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads.

    Raises:
        InputError: If a size is below 1, or the width no multiple of the heads.
    """

    def __init__(self, num_tokens: int, max_tokens: int, width: int = 64, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        check_at_least_one(num_tokens=num_tokens, max_tokens=max_tokens, width=width, depth=depth, heads=heads)
        if width % heads:
            raise InputError(f"width must be a multiple of heads = {heads}, got {width}")
        self.embed = nn.Embedding(num_tokens + 1, width)
        self.place = nn.Parameter(torch.randn(max_tokens + 1, width) * 0.1)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.blocks = nn.Sequential(*[_Block(width, heads) for _ in range(depth)])
        self.to_log_ratio = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As in `TokenGRU`; InputError for more tokens than ``max_tokens``."""
        if ids.shape[1] >= len(self.place):
            raise InputError(f"ids must hold at most max_tokens = {len(self.place) - 1} tokens, got {ids.shape[1]}")
        x = self.blocks(self.embed(framed_tokens(ids, mask)) + self.place[: ids.shape[1] + 1])
        ends = mask.sum(1)[:, None, None].expand(-1, 1, x.shape[2])
        return cast(Tensor, self.to_log_ratio(x.gather(1, ends)[:, 0])[:, 0])


@final
class TokenNgrams(nn.Module):
    """F as the sum of a learnt score of each n-gram up to an order, the end among its tokens.

    The log-ratio of two Markov chains has this form. It learns from few sequences and in little time what a recurrent
    network needs many for, and sees nothing that is farther apart. n-grams share scores where their hashes are equal.

    Args:
        num_tokens: Of the vocabulary.
        order: Of the longest n-grams.
        num_scores: For each order.

    Raises:
        InputError: If a number is below 1.
    """

    def __init__(self, num_tokens: int, order: int = 3, num_scores: int = 2**16) -> None:
        super().__init__()
        check_at_least_one(num_tokens=num_tokens, order=order, num_scores=num_scores)
        self.num_tokens, self.order, self.num_scores = num_tokens, order, num_scores
        self.scores = nn.Parameter(torch.zeros(order, num_scores))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As in `TokenGRU`."""
        codes = framed_tokens(ids, mask)
        counted = nn.functional.pad(mask, (1, 0), value=True)  # the end of each is one place behind its last token
        log_ratio, hashed = torch.zeros(len(ids), device=ids.device, dtype=self.scores.dtype), torch.zeros_like(codes)
        for scores in self.scores:
            # Of the n-gram that ends here: that of the one before it, and this code. Before the start there are ends.
            hashed = (nn.functional.pad(hashed[:, :-1], (1, 0)) * HASH_FACTOR + codes + 1) % HASH_MODULUS
            log_ratio = log_ratio + (scores[hashed % self.num_scores] * counted).sum(1)
        return log_ratio
