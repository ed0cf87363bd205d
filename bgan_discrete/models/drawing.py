"""The samples of one call: codes of a generator, what they stand for, and rows that are drawn anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bgan_discrete.game.conditional import Effort, conditional_codes
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.players import Generator
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.kinds.kind import GivenCodes
from bgan_discrete.models.obeying import as_columns, from_columns, joined_columns, obedient_rows
from bgan_discrete.sources.rules import Rule


@dataclass(frozen=True)
class Drawing:
    """Draws some of the samples that a call asks for, by their numbers.

    Attributes:
        generator: Draws the codes.
        decode: Codes -> what they stand for.
        rng: Source of latents and draws.
        device: Of the generator.
        batch_size: How many are drawn at once.
        change: As of `sample_codes`, as are ``resampler`` and ``prompt``.
        resampler: Chooses among draws; None for none.
        prompt: Codes that all samples begin with; None for none.
        labels: Of each sample; None without classes.
        given: What each sample is to have; None for nothing.
        exact: Name of a column -> the value that each sample is to have there; None where its code says all.
        effort: Counts what it takes.
    """

    generator: Generator
    decode: Callable[[np.ndarray], Any]
    rng: torch.Generator
    device: torch.device
    batch_size: int
    change: Callable[[Any], Any] | None
    resampler: Resampler | None
    prompt: Tensor | None
    labels: np.ndarray | None
    given: GivenCodes | None
    exact: Mapping[str, Sequence[Any]]
    effort: Effort = field(default_factory=Effort)

    def samples(self, count: int, rules: Sequence[Rule]) -> tuple[np.ndarray, Any]:
        """Codes of all samples, which obey the rules, and what they stand for."""
        rows = np.arange(count)
        blocks = [rows[first : first + self.batch_size] for first in range(0, count, self.batch_size)]
        if rules:
            parts = [obedient_rows(self.codes, self._columns, rules, block, self.effort) for block in blocks]
            columns = joined_columns([part for _, part in parts])
            return np.concatenate([codes for codes, _ in parts]), from_columns(columns)
        is_weighted = self.given is not None and self.given.is_weighted
        codes = np.concatenate([self.codes(block) for block in blocks]) if is_weighted else self.codes(rows)
        return codes, self.values(codes, rows)

    def codes(self, rows: np.ndarray) -> np.ndarray:
        """Codes of some of the samples, which may come more than once."""
        labels = None if self.labels is None else torch.from_numpy(self.labels[rows])
        fixed = None if self.given is None else torch.from_numpy(self.given.codes[rows])
        if self.given is not None and fixed is not None and self.given.is_weighted:
            allowed = {place: torch.from_numpy(codes) for place, codes in self.given.allowed.items()}
            return conditional_codes(
                self.generator, fixed, allowed, self.rng, change=self.change, labels=labels, effort=self.effort
            ).numpy()
        return sample_codes(
            self.generator,
            len(rows),
            self.rng,
            self.device,
            self.batch_size,
            self.change,
            labels=labels,
            resampler=self.resampler,
            prompt=self.prompt,
            fixed=fixed,
        ).numpy()

    def values(self, codes: np.ndarray, rows: np.ndarray) -> Any:
        """What codes of some of the samples stand for, with the values that were given."""
        values = self.decode(codes)
        for name, given_values in self.exact.items():
            told = [given_values[row] for row in rows.tolist()]
            values[name] = [own if one is None else one for own, one in zip(values[name], told, strict=True)]
        return values

    def _columns(self, codes: np.ndarray, rows: np.ndarray) -> Mapping[str, Sequence[Any]]:
        return as_columns(self.values(codes, rows))
