"""`examples/standalone.py`: it imports nothing but torch and NumPy, it runs, and its gradient is the package's."""

import ast
import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bgan_discrete import Discriminator, FactorizedCategorical, Game, Players, SampleSpace, make_estimator
from bgan_discrete.game.step import generator_loss
from bgan_discrete.sources import load_images

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "setup.cfg").is_file())
PROGRAM = ROOT / "examples" / "standalone.py"


@pytest.fixture(scope="module")
def standalone() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standalone", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(standalone: ModuleType) -> Tensor:
    return torch.from_numpy(np.load(standalone.DIGITS)).long()


def test_it_imports_nothing_but_torch_and_numpy() -> None:
    roots = set()
    for node in ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"torch", "numpy"}


def test_its_digits_are_the_embedded_ones(data: Tensor) -> None:
    assert np.array_equal(data.numpy(), load_images("digits").codes)


def test_it_trains_and_shows_digits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), "2"])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    _, grid = capsys.readouterr().out.split("\n", maxsplit=1)
    assert [len(line) for line in grid.splitlines()] == 2 * [*8 * [8 * 16 + 7 * 3], 0]


class _Wrapped(Discriminator):
    """The example's discriminator as one of this package."""

    def __init__(self, network: nn.Module, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__(SampleSpace((8, 8), 17))
        self.network, self.features = network, features

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.network(self.features(samples))


@pytest.fixture
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
def test_its_policy_gradient_is_the_packages(standalone: ModuleType, data: Tensor) -> None:
    torch.manual_seed(0)
    generator, discriminator = standalone.Generator(data), standalone.make_discriminator()
    parameters = list(generator.parameters())
    log_g = generator(torch.randn(5, standalone.LATENT_SIZE))
    x = standalone.draw(log_g, 7)
    theirs = torch.autograd.grad(standalone.generator_loss(discriminator, log_g, x), parameters, retain_graph=True)

    game = Game(make_estimator("bgan_centered"), num_draws=7)
    players = Players(None, _Wrapped(discriminator, standalone.features))
    loss = generator_loss(game, players, FactorizedCategorical(log_g), x).loss
    ours = torch.autograd.grad(loss, parameters)
    for a, b in zip(ours, theirs, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
