"""Lines as prompts and answers for the experiment of the adversarial reward, and figures of completed lines.

Held-out lines are in two parts: prompts, whose answers a fresh critic compares, and references of the figures.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bgan_discrete.errors import InputError
from bgan_discrete.metrics.ngrams import ngram_divergences, ngram_entropy
from bgan_discrete.metrics.verdict import Verdict

WORDS_OF_PROMPT = 2
LONGEST = 90
"""Characters; longer lines, of captions one in fifty, are left out and counted."""

SUBJECTS = {"cat": ("sleeps", "sits"), "dog": ("runs", "barks"), "bird": ("sings", "sits"), "fish": ("swims", "rests")}
COLOURS, SIZES = ("black", "white", "grey", "brown"), ("small", "large", "old", "young")
PLACES = {
    "sleeps": ("on a bed", "near the stove"),
    "sits": ("on a chair", "in the window"),
    "runs": ("across the field", "along the river"),
    "barks": ("at the door", "behind the fence"),
    "sings": ("in the tree", "on the roof"),
    "swims": ("in the lake", "under the bridge"),
    "rests": ("among the plants", "near the stones"),
}


def embedded_lines(count: int, seed: int) -> list[str]:
    """Sentences of a small grammar in which the subject decides what it does, and that decides where."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        subject = str(rng.choice(list(SUBJECTS)))
        verb = str(rng.choice(SUBJECTS[subject]))
        lines.append(f"a {rng.choice(SIZES)} {rng.choice(COLOURS)} {subject} {verb} {rng.choice(PLACES[verb])}.")
    return lines


def split_line(line: str) -> tuple[str, str]:
    """A line as its prompt, the first two words, and the rest with the space before it."""
    prompt = " ".join(line.split(" ")[:WORDS_OF_PROMPT])
    return prompt, line[len(prompt) :]


@dataclass
class Lines:
    """Lines to learn from, and held-out ones in two parts."""

    training: list[str]
    prompted: list[str]
    references: list[str]

    @classmethod
    def load(cls, folder: Path | None, num_prompted: int) -> "Lines":
        """Captions of a folder with ``train.txt`` and ``test.txt``, or the embedded sentences."""
        if folder is None:
            training, heldout = embedded_lines(4000, 0), embedded_lines(4000, 1)
        else:
            both = [(folder / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("train", "test")]
            training, heldout = ([line for line in lines if fits(line)] for lines in both)
            left_out = sum(map(len, both)) - len(training) - len(heldout)
            print(f"{left_out} lines of more than {LONGEST} characters, or of two words, were left out")
        if len(heldout) < 2 * num_prompted:
            raise InputError(f"there must be at least {2 * num_prompted} held-out lines, got {len(heldout)}")
        return cls(training, heldout[:num_prompted], heldout[num_prompted:])


def fits(line: str) -> bool:
    """Whether a line has something behind its prompt, and is not too long."""
    return len(line) <= LONGEST and line.count(" ") >= WORDS_OF_PROMPT


@dataclass
class Course:
    """The looks at a policy, by figures of its completions of the held-out prompts; of each with a fresh critic's."""

    lines: Lines
    looks: list[dict[str, Any]] = field(default_factory=list)

    def look(self, step: int, texts: list[str], verdict: Verdict) -> None:
        """Note the completed lines of the held-out prompts after some steps."""
        found = {"step": step, **measure(texts, self.lines.references)}
        found |= {"critic": verdict.value, "noise": verdict.noise}
        self.looks.append(found)
        print(
            "  ".join(f"{name} {value:.3f}" if name != "step" else f"step {value:4d}" for name, value in found.items())
        )

    def summary(self, stopped: int | None) -> dict[str, Any]:
        """First, best and stopping looks; the stop rule keeps the policy of the look that its critics like best."""
        until = self.looks if stopped is None else self.looks[: stopped + 1]
        kept = min(until, key=lambda look: look["critic"])
        best = min(self.looks, key=lambda look: look["JSD-4"])
        floor = measure(self.lines.prompted, self.lines.references)
        return {
            "floor": floor, "start": self.looks[0], "kept": kept, "best": best, "last": self.looks[-1],
            "stopped_at": None if stopped is None else self.looks[stopped]["step"],
            "change": kept["JSD-4"] / self.looks[0]["JSD-4"] - 1, "behind_best": kept["JSD-4"] / best["JSD-4"] - 1,
        }  # fmt: skip


def measure(texts: list[str], references: list[str]) -> dict[str, float]:
    """JSD-4 in bits to the references, entropy of 4-grams in bits, share of different lines, mean characters."""
    return {
        "JSD-4": ngram_divergences(texts, references, 4)[3],
        "entropy-4": ngram_entropy(texts, 4),
        "distinct": len(set(texts)) / len(texts),
        "length": sum(map(len, texts)) / len(texts),
    }
