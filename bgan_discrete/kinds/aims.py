"""What a user says samples are to be, as programs of codes: for a training, for sampling and for figures.

verifier, reward: text or functions -> programs of decoded samples -> a target of codes
"""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bgan_discrete.config import TargetConfig
from bgan_discrete.config.targets import names_function
from bgan_discrete.errors import InputError
from bgan_discrete.game.targets import Answers, Form, Target, Wish
from bgan_discrete.game.targets import Program as Asking
from bgan_discrete.kinds.kind import Kind
from bgan_discrete.metrics.figure import Figure
from bgan_discrete.programs import Program

OwnProgram = str | Callable[[Any], Any]
"""A verifier or a reward: a function of a batch of decoded samples (a list of texts, an array of images or of rows, or
a data frame) that gives a number for each, its name, or, of a verifier of tables, an expression."""

JUDGED = 1000
"""Samples whose validity and reward are figures of a model."""


class Aims:
    """The verifier and the reward of a run, ready to be asked; a context, in which their processes live.

    Args:
        kind: Of the data.
        codec: Decodes samples.
        config: Names both, and says how they run.
        training_codes: Gives the codes of what a model was trained on, for expressions of a table.
        verifier: In the place of the one that is named.
        reward: Likewise.

    Attributes:
        programs: The functions among them, by ``"verifier"`` and ``"reward"``.

    Raises:
        InputError: If one cannot be imported or read, before any long work.
    """

    def __init__(
        self,
        kind: Kind,
        codec: Any,
        config: TargetConfig,
        training_codes: Callable[[], np.ndarray] = lambda: np.empty(0),
        verifier: OwnProgram | None = None,
        reward: OwnProgram | None = None,
    ) -> None:
        self._config, self._stack = config, ExitStack()
        self.programs: dict[str, Program] = {}
        self._decode = decoder_for_programs(kind, codec)
        named = {
            "verifier": config.verifier if verifier is None else verifier,
            "reward": config.reward if reward is None else reward,
        }
        self._asking: dict[str, Asking | None] = dict.fromkeys(named)
        for name, own in named.items():
            if name == "verifier" and isinstance(own, str) and not names_function(own):
                self._asking[name] = _asking_rule(kind, codec, own, training_codes)
            elif own is not None:
                program = Program(
                    own, config.program_processes, config.program_seconds, config.on_error, name=name
                ).start()
                self._stack.callback(program.close)
                self.programs[name] = program
                self._asking[name] = self._asked(name, program)

    def __enter__(self) -> "Aims":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_set(self) -> bool:
        """Whether anything is asked for."""
        return any(self._asking.values())

    def target(self, form: Form) -> Target | None:
        """The target of a training, of a form other than ``auto``; None where nothing is asked for."""
        if not self.is_set:
            return None
        name, value = self._config.weight
        weight: float | Wish = value if name == "weight" else Wish(name, value)  # type: ignore[arg-type]
        return Target(self._asking["verifier"], self._asking["reward"], weight, form)

    def lines(self) -> list[str]:
        """What the programs were asked, and what they failed on, a line each."""
        said = []
        for name, program in self.programs.items():
            usage, failures = program.usage, program.failures
            line = f"{name}: ran on {usage.new:,} of {usage.samples:,} samples, in {usage.seconds:.1f} s"
            if failures.count:
                line += f"; failed on {failures.count:,}, which count for nothing, such as {failures.example}"
            said.append(line)
        return said

    def facts(self) -> dict[str, Any]:
        """The same for a report."""
        usages = {name: program.usage for name, program in self.programs.items()}
        return {
            name: {"samples": u.samples, "new": u.new, "failed": u.failures.count, "example": u.failures.example}
            for name, u in usages.items()
        }

    def figures(self, samples: np.ndarray, data: np.ndarray) -> dict[str, Figure]:
        """Validity and reward of codes of samples, with that of data as the floor."""
        found = {}
        ours, theirs = (torch.from_numpy(np.ascontiguousarray(codes[:JUDGED])) for codes in (samples, data))
        titles = {"verifier": ("valid", "valid samples"), "reward": ("reward", "mean reward")}
        for name, (key, title) in titles.items():
            asking = self._asking[name]
            if asking is None:
                continue
            values, floor = (asking(codes)().double().nan_to_num(0.0) for codes in (ours, theirs))
            found[key] = Figure(title, float(values.mean()), "higher", float(floor.mean()), count=len(ours))
        if "valid" in found:
            verifier = self._asking["verifier"]
            assert verifier is not None
            is_valid = verifier(ours)().nan_to_num(0.0) > 0.5
            distinct = len(np.unique(ours[is_valid].flatten(1).numpy(), axis=0)) / len(ours) if is_valid.any() else 0.0
            found["distinct_valid"] = Figure("  valid and distinct", distinct, "higher", None, count=len(ours))
        return found

    def _asked(self, name: str, program: Program) -> Asking:
        def ask(codes: Tensor) -> Answers:
            pending = program.submit(codes.cpu().numpy(), self._decode)

            def answers() -> Tensor:
                values = pending.result()
                known = values[np.isfinite(values)]
                if len(values) and not len(known):
                    raise InputError(
                        f"{name} fails on all of {len(values)} samples, such as {program.failures.example}"
                    )
                if name == "verifier" and len(known) and not (known.min() >= 0 and known.max() <= 1):
                    wrong = known.max() if known.max() > 1 else known.min()
                    raise InputError(f"verifier must give booleans, or numbers in [0, 1], got {wrong:g}")
                return torch.from_numpy(values)

            return answers

        return ask


def decoder_for_programs(kind: Kind, codec: Any) -> Callable[[np.ndarray], Any]:
    """What makes samples of codes for a user's function: columns of a table become a data frame."""
    decode = kind.decoder(codec)

    def decoded(codes: np.ndarray) -> Any:
        values = decode(codes)
        return pd.DataFrame(values) if isinstance(values, Mapping) else values

    return decoded


def _asking_rule(kind: Kind, codec: Any, text: str, training_codes: Callable[[], np.ndarray]) -> Asking:
    """Of an expression of a table's columns."""
    try:
        (rule,) = kind.rules([text], codec, training_codes)
    except InputError as error:
        raise InputError(f"verifier must be module:function, file.py:function or a rule: {error}") from None
    decode = kind.decoder(codec)

    def ask(codes: Tensor) -> Answers:
        array = codes.cpu().numpy()
        return lambda: torch.from_numpy(rule.holds(decode(array), array).astype(np.float64))

    return ask


def form_of(asked: str, is_exact: bool, phases: str) -> Form:
    """The form of a target; ``auto`` is anchored where probabilities are exact and likelihood comes first."""
    if asked == "auto":
        return "anchored" if is_exact and "likelihood" in phases else "additive"
    return cast(Form, asked)


def readable_facts(facts: Mapping[str, float]) -> str:
    """What a target found in the data, in a line."""
    parts = [f"{facts['valid']:.1%} of the data are valid"] if not math.isclose(facts["valid"], 1) else []
    if facts["reward_weight"]:
        parts.append(f"their mean reward is {facts['reward']:.4g}, and its weight {facts['reward_weight']:.4g}")
    if facts["effective_share"] < 1 - 1e-9:
        parts.append(
            f"data in proportion to the target would have an effective share of {facts['effective_share']:.3g}"
        )
    return "; ".join(parts) or "all data are valid"
