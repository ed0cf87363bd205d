"""A boundary-seeking GAN in one file: algorithm 1 of Hjelm et al. (2018), arXiv:1702.08431, on handwritten digits.

    python examples/standalone.py

It needs torch and numpy, and about two minutes of a CPU. A generator gives g(x | z), the distribution of an image x
given a latent z. A discriminator gives F(x), the logit of D(x), which learns log p(x)/q(x), data over generator.
Every pixel of x is one of K levels, so no gradient can pass through a sample. Instead the weights w = exp F say which
samples to make more probable.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

DIGITS = Path(__file__).resolve().parent.parent / "data" / "digits.npy"  # uint8 [1297, 8, 8], levels 0 to 16
N, M, K = 64, 20, 17  # latents in a batch, samples of each, levels of a pixel
LATENT_SIZE = 16
GAMMA = 8.0  # weight of the gradient penalty


class Generator(nn.Module):
    """z [N, LATENT_SIZE] -> log g(. | z) [N, 8, 8, K], the log-probabilities of the levels of each pixel."""

    def __init__(self, data: Tensor) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT_SIZE, 128 * 2 * 2), nn.Unflatten(1, (128, 2, 2)),
            nn.GroupNorm(8, 128), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(128, 64, 3, padding=1),
            nn.GroupNorm(4, 64), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(64, 32, 3, padding=1),
            nn.GroupNorm(2, 32), nn.ReLU(), nn.Conv2d(32, K, 3, padding=1),
        )  # fmt: skip
        # Start near the frequencies of the levels at each pixel: the first samples are noise, but of the right grey.
        self.bias = nn.Parameter((one_hot(data, K).float().mean(0) + 1e-4).log())
        with torch.no_grad():
            self.layers[-1].weight.mul_(0.1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.log_softmax(self.layers(z).permute(0, 2, 3, 1) + self.bias, dim=-1)


def make_discriminator() -> nn.Module:
    """Features of images [B, 8, 8, 4] -> F [B]."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(8 * 8 * 4, 256), nn.LeakyReLU(0.2),
        nn.Linear(256, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1), nn.Flatten(0),
    )  # fmt: skip


def features(x: Tensor) -> Tensor:
    """Four cosines of each level, by which the discriminator sees how often a level occurs, not only the mean."""
    return torch.stack([torch.cos(math.pi * j * x / (K - 1)) for j in (1, 2, 3, 4)], dim=-1)


def draw(log_g: Tensor, num_draws: int) -> Tensor:
    """Samples x [M, N, 8, 8] ~ g(x | z): the pixels are independent given z."""
    return torch.distributions.Categorical(logits=log_g.detach()).sample((num_draws,))


def discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """-E_p log D - E_q log(1 - D), from the logits F, and gamma/2 E_p |dF/dfeatures|^2, which keeps F smooth."""
    inputs = features(real).requires_grad_()
    F_real, F_fake = discriminator(inputs), discriminator(features(fake))
    (slope,) = torch.autograd.grad(F_real.sum(), inputs, create_graph=True)
    penalty = GAMMA / 2 * slope.square().sum((1, 2, 3)).mean()
    return softplus(-F_real).mean() + softplus(F_fake).mean() + penalty


def generator_loss(discriminator: nn.Module, log_g: Tensor, x: Tensor) -> Tensor:
    """-1/N sum_n sum_m (w~[m, n] - 1/M) log g(x[m, n] | z_n): in mean, its gradient is the paper's policy gradient."""
    with torch.no_grad():
        log_w = discriminator(features(x.flatten(0, 1))).view(x.shape[:2])  # F of each sample, [M, N]
        w = torch.softmax(log_w, dim=0)  # w~: weights normalised over the M samples of each latent
        w = w - w.mean(0)  # a baseline: E[grad log g] = 0, so this changes the variance and not the mean
    log_g_x = log_g.gather(-1, x.permute(1, 2, 3, 0)).sum((1, 2))  # log g(x[m, n] | z_n), [N, M]
    return -(w.T * log_g_x).sum() / len(log_g)


def train(data: Tensor, steps: int, seed: int = 0) -> nn.Module:
    """Algorithm 1. Returns the generator, averaged over the last two hundred steps or so."""
    torch.manual_seed(seed)
    generator, discriminator = Generator(data), make_discriminator()
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=4e-3, betas=(0.0, 0.99))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    decay = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.02, steps) for o in (optimizer_g, optimizer_d)]
    for step in range(steps):
        real = data[torch.randint(len(data), (N,))]
        log_g = generator(torch.randn(N, LATENT_SIZE))
        x = draw(log_g, M)

        # phi: the discriminator learns from one sample of each latent.
        optimizer_d.zero_grad()
        discriminator_loss(discriminator, real, x[0]).backward()
        optimizer_d.step()

        # theta: the generator learns from all M.
        optimizer_g.zero_grad()
        generator_loss(discriminator, log_g, x).backward()
        optimizer_g.step()

        average.update_parameters(generator)
        for schedule in decay:
            schedule.step()
        print(f"\rstep {step + 1} of {steps}", end="", flush=True)
    print()
    return average


def show(images: Tensor) -> None:
    """Print images [B, 8, 8] in the terminal, eight in a row, each level as two characters."""
    ramp = " .:-=+*#%@"
    for row in images.split(8):
        for line in row.unbind(1):
            print("   ".join("".join(2 * ramp[int(level) * 9 // (K - 1)] for level in pixels) for pixels in line))
        print()


if __name__ == "__main__":
    digits = torch.from_numpy(np.load(DIGITS)).long()
    generator = train(digits, steps=int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
    show(draw(generator(torch.randn(16, LATENT_SIZE)), 1)[0])
