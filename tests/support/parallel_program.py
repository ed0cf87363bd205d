"""A program of every process in `test_parallel`: small trainings whose draws depend on the latents alone.

What the networks of a process get then does not depend on which process it is, so that two of them with half of each
batch must do what one does with the whole.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bgan_discrete.config import TrainingConfig
from bgan_discrete.distributions import (
    FactorizedCategorical,
    RoundCategorical,
    RoundsCategorical,
    SequenceCategorical,
)
from bgan_discrete.distributions.autoregressive import AutoregressiveCategorical
from bgan_discrete.distributions.endings import pad_after_end
from bgan_discrete.distributions.sampling import code_dtype
from bgan_discrete.game.estimators import ESTIMATORS, make_estimator
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    CausalTransformerGenerator,
    ContinuousConvGenerator,
    ConvDiscriminator,
    ConvGenerator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUGenerator,
    MaskedTransformerGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from bgan_discrete.parallel import Processes, join_processes
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.setup import make_game
from bgan_discrete.training.trainer import Trainer

BATCH, STEPS, LENGTH, CATEGORIES = 8, 3, 6, 5

CASES: dict[str, dict[str, Any]] = {
    **{f"images {name}": {"estimator": name, "penalty": "r1"} for name in ESTIMATORS},
    "images bgan over the batch": {"estimator": "bgan", "over": "batch"},
    "images bgan_centered over the batch": {"estimator": "bgan_centered", "over": "batch", "num_draws": 2},
    "convolutions": {"networks": "conv", "penalty": "roth", "discriminator_draws": 3, "discriminator_steps": 2},
    "convolutions with labels": {"networks": "classes", "penalty": "r1"},
    "continuous": {"networks": "continuous", "continuous": "boundary_seeking"},
    "text alternatives": {"networks": "one_shot", "credit": "alternatives", "estimator": "jeffreys", "escort": 0.5},
    "text one-shot": {"networks": "one_shot_draws", "estimator": "maligan"},
    **{
        f"text autoregressive {name}": {"networks": "recurrent", "estimator": name, "credit": "prefix"}
        for name in ("bgan_centered", "rloo", "reinforce", "maligan")
    },
    "text autoregressive alternatives": {"networks": "recurrent_alternatives", "credit": "alternatives"},
    "rounds": {"networks": "rounds", "credit": "alternatives", "estimator": "jeffreys"},
    "rounds causal": {"networks": "causal_rounds", "estimator": "bgan_centered"},
    "likelihood of causal rounds": {"networks": "causal_rounds", "phases": "likelihood"},
    "likelihood of a mixture": {"networks": "one_shot_draws", "phases": "likelihood"},
    "likelihood of a recurrence": {"networks": "recurrent", "credit": "prefix", "phases": "likelihood"},
}
"""Options of the training; under ``networks`` their kind, under ``over`` what weights are normalised over."""


def networks(kind: str) -> tuple[Any, Any, tuple[int, ...]]:
    """Generator, discriminator and the event shape."""
    torch.manual_seed(0)
    sizes, images = (8, 1), SampleSpace((8, 8), CATEGORIES)
    text = SampleSpace((LENGTH,), CATEGORIES, end_id=CATEGORIES - 1)
    plain = SampleSpace((LENGTH,), CATEGORIES)
    made: dict[str, Any] = {
        "mlp": lambda: (MLPGenerator(plain, 4, *sizes), MLPDiscriminator(plain, *sizes)),
        "conv": lambda: (ConvGenerator(images, 4, 4, 1), ConvDiscriminator(images, 4, 1)),
        "classes": lambda: (
            ConvGenerator(images, 4, 4, 1, num_classes=3),
            ConvDiscriminator(images, 4, 1, num_classes=3),
        ),
        "continuous": lambda: (
            ContinuousConvGenerator(images, 4, 4, 1),
            ConvDiscriminator(SampleSpace((8, 8), 2, ordered=True), 4, 1),
        ),
        "one_shot": lambda: (ConvSequenceGenerator(text, 4, *sizes), AlternativesDiscriminator(text, *sizes, "rest")),
        "one_shot_draws": lambda: (ConvSequenceGenerator(text, 4, *sizes), ConvSequenceDiscriminator(text, *sizes)),
        "recurrent": lambda: (GRUGenerator(text, 4, *sizes), ConvSequenceDiscriminator(text, *sizes, True)),
        "recurrent_alternatives": lambda: (
            GRUGenerator(text, 4, *sizes),
            AlternativesDiscriminator(text, *sizes, "prefix"),
        ),
        "rounds": lambda: (
            MaskedTransformerGenerator(plain, 4, *sizes, heads=2, rounds=3),
            AlternativesDiscriminator(plain, *sizes, "rest", partial=True),
        ),
        "causal_rounds": lambda: (
            CausalTransformerGenerator(plain, 4, *sizes, heads=2, rounds=3),
            MLPDiscriminator(plain, *sizes, partial=True),
        ),
    }
    generator, discriminator = made[kind]()
    return generator, discriminator, generator.space.event_shape


def fix_the_draws(generator: Any, config: TrainingConfig) -> None:
    """Let draws be a function of the latents that the generator was last called with.

    The generator's draws follow those of the discriminator, whether both are made at once or not. Of samples that are
    drawn in rounds, the round of a step and what comes before it depend on the latents too.
    """
    held: dict[str, Tensor] = {}
    generator.register_forward_pre_hook(lambda module, inputs: held.update(latents=inputs[0].detach()))

    def sample(self: Any, num_draws: int, rng: Any = None, prompt: Any = None) -> Tensor:
        keys = held["latents"].sum(1)
        size = int(np.prod(self.event_shape))
        first = config.discriminator_draws if num_draws == config.num_draws else 0
        places = (torch.arange(num_draws * size) + first * size).view(num_draws, 1, -1)
        noise = torch.sin(keys[None, :, None] * 12.9898 + places * 78.233) * 43758.5453
        codes = ((noise - noise.floor()) * self.num_categories).long().clamp_max(self.num_categories - 1)
        codes = codes.view(num_draws, len(keys), *self.event_shape).to(code_dtype(self.num_categories))
        return pad_after_end(codes, getattr(self, "end_id", None))

    for kind in (FactorizedCategorical, SequenceCategorical, AutoregressiveCategorical):
        kind.sample = sample  # type: ignore[method-assign, assignment]

    def in_play(self: Any, rng: Any = None) -> RoundCategorical:
        keys = self.latents.detach().sum(1)
        prefix = ((keys[:, None] * 7 + torch.arange(LENGTH)).floor() % CATEGORIES).long()
        return self.at_round((keys * 13).floor().long() % self.num_rounds, prefix=prefix)  # type: ignore[no-any-return]

    RoundsCategorical.in_play = in_play  # type: ignore[method-assign]


def run_case(name: str, processes: Processes, accumulation_steps: int = 1) -> dict[str, Any]:
    """Gradients of the first step, and parameters and figures after `STEPS`, in float64."""
    options = dict(CASES[name])
    generator, discriminator, shape = networks(options.pop("networks", "mlp"))
    codes = np.random.default_rng(1).integers(0, CATEGORIES, (40, *shape)).astype(np.uint8)
    codes = pad_after_end(torch.from_numpy(codes), generator.space.end_id).numpy()
    values = {
        "num_draws": 4, "batch_size": BATCH, "max_steps": STEPS, "log_interval": STEPS, "sample_interval": 0,
        "checkpoint_interval": 0, "device": "cpu", "penalty": "none", "lr_decay": "none",
        "threads": 1, "gradient_accumulation_steps": accumulation_steps,
    }  # fmt: skip
    over = options.pop("over", "latent")
    config = TrainingConfig(**{**values, **options})
    estimator = make_estimator(config.estimator, normalization=over, processes=processes)
    game = replace(make_game(config, processes), estimator=estimator, penalty_interval=1)
    if config.continuous == "none":
        fix_the_draws(generator, config)
    labels = None if generator.num_classes is None else np.arange(len(codes)) % 3
    trainer = Trainer(generator, discriminator, codes, config, labels=labels, game=game, processes=processes)
    calls = iter(range(1000))

    def latents(count: int) -> Tensor:
        """Those of the whole batch, in part; of a mixture all of them."""
        rng = torch.Generator().manual_seed(next(calls))
        if count != BATCH // processes.size:
            return torch.randn(count, generator.latent_size, generator=rng)
        return processes.part(torch.randn(BATCH, generator.latent_size, generator=rng))

    trainer._latents.draw = latents  # type: ignore[method-assign]
    found: dict[str, Any] = {}
    while trainer.step < STEPS:
        diagnostics = trainer._train_step()
        trainer.state.step += 1
        trainer.state.means.add(diagnostics)
        if trainer.step == 1:
            for part in ("generator", "discriminator"):
                for key, parameter in getattr(trainer, part).named_parameters():
                    if parameter.grad is not None:
                        found[f"gradient of {part}.{key}"] = parameter.grad.clone()
    for part in ("generator", "discriminator", "average"):
        for key, value in getattr(trainer, part).state_dict().items():
            found[f"{part}.{key}"] = value.clone()
    figures = {key: value for key, value in trainer._figures("", 1.0).items() if key != "phase"}
    found["figures"] = torch.tensor([figures[key] for key in sorted(figures)])
    found["names of the figures"] = sorted(figures)
    return found


def main(folder: Path) -> None:
    """Run all cases and let every process write what it has found."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with join_processes("cpu", 60.0) as processes:
        found = {
            f"{name} x {parts}": run_case(name, processes, parts)
            for name in CASES
            for parts in (1, 2)
            if parts == 1 or "continuous" not in CASES[name]
        }
        torch.save(found, folder / f"rank-{processes.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
