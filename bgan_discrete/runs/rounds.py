"""Samples of a trained generator as they are after each of its rounds."""

import numpy as np
import torch

from bgan_discrete.game.drawing import draw_latents
from bgan_discrete.game.scoring import at_rest
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.reporting.rounds import OWN, DrawnRounds
from bgan_discrete.training.labels import labels_of_samples

SHOWN_SAMPLES = 4


@torch.no_grad()
def drawn_rounds(generator: RoundsGenerator, seed: int, device: torch.device) -> DrawnRounds:
    """Draw a few samples of a generator on a device, round by round."""
    rng = torch.Generator(device).manual_seed(seed)
    labels = labels_of_samples(None, SHOWN_SAMPLES, generator.num_classes)
    with at_rest(generator):
        latents = draw_latents(generator, SHOWN_SAMPLES, rng)
        distribution = generator(latents, None if labels is None else torch.from_numpy(labels).to(device))
        distribution.check_finite(type(generator).__name__)
        stages = torch.stack(distribution.stages(rng)).cpu().numpy()
    rounds = distribution.rounds.view(generator.space.event_shape).cpu().numpy()
    order, cut = (generator.settings.get(name, OWN) for name in ("order", "cut"))
    return DrawnRounds(stages, np.asarray(rounds), generator.space.num_categories, order, cut)
