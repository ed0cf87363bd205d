"""Parts of the user's own: what the Trainer is told by an object equals what it is told by a name."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from small_training import CODES, SPACE, small_networks
from torch import Tensor

import bgan_discrete
from bgan_discrete import (
    ConvGenerator,
    Discriminator,
    Divergence,
    Estimator,
    FactorizedCategorical,
    Game,
    Generator,
    InputError,
    MLPDiscriminator,
    MLPGenerator,
    NonFiniteError,
    Pipeline,
    SampleSpace,
    Trainer,
    TrainingConfig,
    get_divergence,
    get_penalty,
    make_estimator,
)
from bgan_discrete.codecs import (
    BinaryCodec,
    ImageCodec,
    IntegersCodec,
    codec_from_config,
    factory,
    load_codec,
    register_codec,
)
from bgan_discrete.distributions import Distribution
from bgan_discrete.game.advantages import rloo
from bgan_discrete.game.credit import AlternativesCredit
from bgan_discrete.game.guard import FiniteGuard
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.models.format import GENERATORS
from bgan_discrete.sources import load_images
from bgan_discrete.training.setup import make_game

SMALL: dict[str, Any] = {"num_draws": 4, "batch_size": 8, "max_steps": 5, "threads": 1, "device": "cpu"}


def game_of(config: TrainingConfig, **changes: Any) -> Game:
    """The game that a configuration names, with other parts."""
    return dataclasses.replace(make_game(config), **changes)


def trained(config: TrainingConfig, game: Game | None = None) -> Trainer:
    trainer = Trainer(*small_networks(), CODES, config, game=game)
    trainer.train(progress=False)
    return trainer


def weights(trainer: Trainer) -> Tensor:
    networks = (trainer.generator, trainer.discriminator)
    return torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])


def test_an_object_equals_its_name() -> None:
    named = TrainingConfig(**SMALL, estimator="rloo", divergence="kl", penalty="roth", penalty_weight=0.5)
    plain = TrainingConfig(**SMALL, penalty_weight=0.5)
    game = Game(make_estimator("rloo"), 4, get_divergence("kl"), penalty=get_penalty("roth"), penalty_weight=0.5)
    by_objects = trained(plain, game)
    assert torch.equal(weights(trained(named)), weights(by_objects))
    assert not torch.equal(weights(trained(plain)), weights(by_objects))


def test_a_function_is_an_estimator() -> None:
    config = TrainingConfig(**SMALL)
    by_function = trained(config, game_of(config, estimator=rloo))
    by_name = trained(TrainingConfig(**SMALL, estimator="rloo"))
    # The function does not say that its advantages sum to zero, so that the surrogate takes its general form.
    torch.testing.assert_close(weights(by_function), weights(by_name), rtol=1e-4, atol=1e-4)


def test_a_divergence_of_ones_own_is_the_loss() -> None:
    asked: list[int] = []
    kl = get_divergence("kl")

    def counted(log_ratio: Tensor) -> Tensor:
        asked.append(len(log_ratio))
        return kl.real_term(log_ratio)

    config = TrainingConfig(**SMALL)
    trained(config, game_of(config, divergence=Divergence("own", kl.f, counted, kl.fake_term)))
    assert asked == [8] * SMALL["max_steps"]


def test_an_estimator_without_a_signal_is_refused_before_training() -> None:
    config = TrainingConfig(**{**SMALL, "num_draws": 1}, estimator="reinforce")
    with pytest.raises(InputError, match="at least 2"):
        trained(config, game_of(config, estimator=make_estimator("vimco")))
    with pytest.raises(InputError, match="credit 'alternatives'"):
        trained(TrainingConfig(**SMALL), Game(make_estimator("maligan"), 4, credit=AlternativesCredit()))


def test_a_game_counts_instead_of_the_whole_one_that_the_configuration_names() -> None:
    """Its draws, credit and weights, too; how it runs is the configuration's."""
    game = Game(make_estimator("reinforce"), num_draws=3, discriminator_draws=2, penalty_weight=0.5)
    config = TrainingConfig(**SMALL, penalty="r1", gradient_accumulation_steps=2)
    trainer = trained(config, game)
    played = trainer.game
    assert (played.estimator, played.num_draws, played.discriminator_draws) == (game.estimator, 3, 2)
    assert (played.penalty, played.penalty_weight) == (None, 0.5)
    assert trainer.players.parts == 2


class Changed(Generator):
    """A generator that gives what a function makes of logits."""

    def __init__(self, change: Any) -> None:
        super().__init__(SPACE, latent_size=4)
        self.inner, self.change = MLPGenerator(SPACE, latent_size=4, width=16, depth=1), change

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Any:
        return self.change(self.inner(latents).logits)


class Judged(Discriminator):
    """A discriminator that gives what a function makes of F."""

    def __init__(self, change: Any) -> None:
        super().__init__(SPACE)
        self.inner, self.change = MLPDiscriminator(SPACE, width=16, depth=1), change

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Any:
        return self.change(self.inner(codes))


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("generator", lambda z: FactorizedCategorical(z[:, :5]), r"shape \[8, 6\] in 3 categories, got \[8, 5\] in 3"),
        ("generator", lambda z: FactorizedCategorical(z[..., :2]), r"\[8, 6\] in 3 categories, got \[8, 6\] in 2"),
        ("generator", lambda z: FactorizedCategorical(z[:3]), r"shape \[8, 6\] in 3 .*, got \[3, 6\] in 3"),
        ("generator", lambda z: (z, z), r"generator must give a Distribution, .* got tuple"),
        ("generator", lambda z: z, r"generator must give a Distribution, .* got a tensor of shape \[8, 6, 3\]"),
        ("generator", lambda z: FactorizedCategorical(z.round().int()), r"logits must be floating point, got .*int32"),
        ("generator", lambda z: FactorizedCategorical(z.detach()), "generator must give what depends on its param"),
        ("discriminator", lambda f: f.mean(), r"one F for each sample, \[16\], got \[\]"),
        ("discriminator", lambda f: f.detach(), "discriminator must give what depends on its parameters"),
        (
            "discriminator",
            lambda f: f[:, None].expand(-1, 5),
            r"one F for each sample, \[32\], got \[32, 5\]; for F",
        ),
        ("estimator", lambda log_w: log_w.mean(0), r"log weights, \[4, 8\], got \[8\]"),
        ("estimator", lambda log_w: log_w.numpy(), r"a tensor of advantages .*, got ndarray"),
        ("penalty", lambda *given: given[1][:, 0].float(), r"penalty must be a scalar tensor, .* got \[8\]"),
        ("penalty", lambda *given: 0.5, r"penalty must be a scalar tensor, .* got 0\.5"),
        ("penalty", lambda *given: torch.tensor(0.5), "penalty must have a gradient with respect to the disc"),
    ],
)
def test_a_part_that_does_not_fit_is_named(part: str, change: Any, words: str) -> None:
    generator, discriminator = small_networks()
    networks = {"generator": generator, "discriminator": discriminator}
    own = {"generator": Changed, "discriminator": Judged}
    networks |= {part: own[part](change)} if part in own else {}
    config = TrainingConfig(**SMALL)
    game = game_of(config, penalty_interval=1, **({} if part in own else {part: change}))
    with pytest.raises(InputError, match=words):
        Trainer(**networks, codes=CODES, config=config, game=game).train(progress=False)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize(
    ("who", "change", "words"),
    [
        ("generator", lambda z: z.masked_fill(torch.arange(3) == 1, -torch.inf), "got -inf among them; give -1e4"),
        ("generator", lambda z: z * torch.nan, "the generator's logits must be finite, got NaN among them$"),
        ("generator", lambda z: z.abs() + torch.inf, "the generator's logits must be finite, got inf among them$"),
        ("discriminator", lambda f: f * torch.nan, "the discriminator gives inf or NaN for samples of the data"),
    ],
)
def test_what_is_not_finite_is_traced_to_its_network(who: str, change: Any, words: str, guarded: bool) -> None:
    """From the first sample on it is refused at once; later when the loss, or the guard, notices."""
    wrong = (lambda z: FactorizedCategorical(change(z))) if who == "generator" else change
    right = FactorizedCategorical if who == "generator" else lambda f: f
    for begins in (0, 3):
        torch.manual_seed(0)
        made = {
            "generator": Changed(FactorizedCategorical),
            "discriminator": Judged(lambda f: f),
        }
        made[who].change = wrong if begins == 0 else right
        config = TrainingConfig(**SMALL, penalty="none", log_interval=4)
        with pytest.raises(NonFiniteError, match=words) as caught:
            trainer = Trainer(made["generator"], made["discriminator"], CODES, config)
            trainer.players.guard = FiniteGuard() if guarded else None
            if begins:
                take = trainer._train_step
                taken = iter(range(100))

                def step(take: Any = take, taken: Any = taken, part: Any = made[who]) -> Any:
                    part.change = wrong if next(taken) >= 2 else right
                    return take()

                trainer._train_step = step  # type: ignore[method-assign]
            trainer.train(progress=False)
        assert "\n" not in str(caught.value)
        if begins:
            assert str(caught.value).startswith("step 3 was not taken")


class Ema:
    """Has a state, but is no `Estimator`."""

    def __call__(self, log_w: Tensor) -> Tensor:
        return rloo(log_w)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        pass


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"estimator": "rloo"}, r"^estimator must be an object or a function, got 'rloo'; .*make_estimator"),
        ({"divergence": "kl"}, r"^divergence must be an object, got 'kl'; .*TrainingConfig\(divergence=...\)"),
        ({"penalty": "r1"}, "^penalty must be an object, got 'r1'"),
        ({"credit": "prefix"}, r"^credit must be an object, got 'prefix'; .* make_credit\(\.\.\.\)"),
        ({"estimator": Ema()}, r"^estimator Ema must extend bgan_discrete\.Estimator to have a state"),
        ({"estimator": Ema}, "^estimator must be an object or a function, got <class"),
        ({"divergence": lambda log_ratio: log_ratio}, "^divergence must be a Divergence, .* got <function"),
        ({"penalty": 1.0}, "^penalty must be a function or an object that is called as one, got 1.0"),
        ({"credit": None}, "^credit must be a function or an object that is called as one, got None"),
        ({"credit": AlternativesCredit}, "^credit must be a function or an object that is called as one, got <class"),
        ({"num_draws": 4.0}, "^num_draws must be an integer, got 4.0"),
        ({"discriminator_draws": 0}, "^discriminator_draws must be at least 1, got 0"),
        ({"penalty_weight": -1}, "^penalty_weight must be a number that is at least 0, got -1"),
        ({"penalty_weight": "1"}, "^penalty_weight must be a number that is at least 0, got '1'"),
    ],
)
def test_a_game_refuses_what_is_no_part_of_it(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Game(**wrong)
    assert isinstance(Game(rloo).estimator, Estimator), "but it takes a function"  # type: ignore[arg-type]


def test_an_estimator_has_a_limit_of_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"^limit must be one of weight, log_weight, both, symmetric or None, got 'weights'"
    ):
        Estimator("own", rloo, limit="weights")  # type: ignore[arg-type]


class OfOneNumber(Distribution):
    """Its `log_prob` forgets the draws, ``[N]``."""

    num_categories = 3

    def sample(self, num_draws: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.zeros(num_draws, 5, 6, dtype=torch.uint8)

    def log_prob(self, codes: Tensor) -> Tensor:
        return torch.zeros(codes.shape[1])


def test_a_log_prob_of_another_shape_is_refused() -> None:
    codes = OfOneNumber().sample(4)
    with pytest.raises(InputError, match=r"OfOneNumber.log_prob must give \[M, N\] = \[4, 5\], got \[5\]"):
        OfOneNumber().weighted_log_prob(codes, torch.ones(4, 5))


def test_the_state_of_an_estimator_is_resumed(tmp_path: Path) -> None:
    config = TrainingConfig(**SMALL)
    networks = small_networks()
    estimator: Any = make_estimator("reinforce")
    trainer = Trainer(*networks, CODES, config, output_dir=tmp_path, game=game_of(config, estimator=estimator))
    trainer.train(progress=False)
    again: Any = make_estimator("reinforce")
    Trainer(*networks, CODES, config, game=game_of(config, estimator=again)).resume(
        next(iter((tmp_path / "checkpoints").iterdir()))
    )
    assert again.log_beta_ema == estimator.log_beta_ema != 0


class HalvesCodec(ImageCodec):
    """Dark and bright: 0 below a threshold, 1 from there on."""

    name: ClassVar[str] = "halves"
    channels = 1
    num_categories = 2
    ordered = True

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold

    def describe(self) -> str:
        return f"dark or bright, from {self.threshold} on"

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name, "threshold": self.threshold}

    def _encode(self, images: Any, first_row: int) -> Any:
        return (images >= self.threshold).astype(np.uint8)

    def _decode(self, codes: Any) -> Any:
        return codes * 255


def test_a_codec_of_ones_own_is_cached_saved_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(factory, "_OWN", {})
    HalvesCodec(100).save(tmp_path / "codec.json")
    with pytest.raises(InputError, match="must have a name of binary"):
        load_codec(tmp_path / "codec.json")
    register_codec(HalvesCodec)
    loaded = load_codec(tmp_path / "codec.json")
    assert isinstance(loaded, HalvesCodec) and loaded.threshold == 100
    first, again = (load_images("digits", codec=HalvesCodec(100)) for _ in range(2))
    assert (first.from_cache, again.from_cache) == (False, True)
    assert np.array_equal(first.codes, again.codes)
    (note,) = {record.getMessage() for record in caplog.records}
    assert note.startswith("17 different grey values of the data set become 2 ")
    Pipeline(ConvGenerator(first.codec.space_of((8, 8)), 4, 8), first.codec).save_pretrained(tmp_path / "model")
    assert Pipeline.from_pretrained(tmp_path / "model").generate(3).values.shape == (3, 8, 8)


def test_a_codec_that_cannot_be_built_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "_OWN", {})
    register_codec(HalvesCodec)
    with pytest.raises(InputError, match="halves codec does not fit its constructor"):
        codec_from_config({"name": "halves", "limit": 3})
    with pytest.raises(InputError, match="'binary' is taken"):
        register_codec(BinaryCodec)


def test_networks_that_extend_nothing_are_told_the_lines_that_do() -> None:
    """Those lines run."""
    config, generator, discriminator = TrainingConfig(**SMALL), MLPGenerator(SPACE), MLPDiscriminator(SPACE)
    own: dict[str, Any] = {}
    for who, parts in (
        ("generator", (torch.nn.Linear(4, 18), discriminator)),
        ("discriminator", (generator, torch.nn.Linear(6, 1))),
    ):
        with pytest.raises(InputError, match=f"{who} must extend bgan_discrete.{who.title()}, got Linear:") as caught:
            Trainer(*parts, CODES, config)
        lines = str(caught.value).split(":\n\n")[1]
        names = {"bgan_discrete": bgan_discrete, "nn": torch.nn, "FactorizedCategorical": FactorizedCategorical}
        exec(lines, names)
        own[who] = names["Own"]
    made, judge = own["generator"](SPACE), own["discriminator"](SPACE)
    trainer = Trainer(made, judge, CODES, config)
    trainer.train(progress=False)
    assert trainer.sample(5).shape == (5, 6)
    assert made.settings == {"space": SPACE.to_dict(), "latent_size": 16}
    assert type(made).from_settings(made.settings).space == SPACE
    with pytest.raises(InputError, match="Own has no set_output_bias"):
        made.set_output_bias(torch.zeros(6, 3))
    with pytest.raises(InputError, match=r"F of alternatives, which Own .* \(it gives F for: sample\)$"):
        Trainer(made, judge, CODES, TrainingConfig(**SMALL, credit="alternatives")).train(progress=False)


class Deep(Generator):
    """Weights of which some are tied, and buffers of other dtypes; subclasses have an argument of their own."""

    def __init__(self, space: SampleSpace, latent_size: int, **passed_on: Any) -> None:
        super().__init__(space, latent_size, **passed_on)
        self.first, self.last = torch.nn.Linear(latent_size, 18), torch.nn.Linear(latent_size, 18)
        self.last.weight = self.first.weight
        self.register_buffer("mask", torch.ones(6, 3, dtype=torch.bool))
        self.register_buffer("bytes", torch.ones(6, 3, dtype=torch.uint8))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        return FactorizedCategorical((self.first(latents) + self.last(latents)).unflatten(1, (6, 3)))


class Kept(Deep):
    def __init__(self, space: SampleSpace, latent_size: int = 4, hidden: Any = 8) -> None:
        super().__init__(space, latent_size, hidden=hidden)


class Lost(Deep):
    def __init__(self, space: SampleSpace, latent_size: int = 4, hidden: Any = 8) -> None:
        super().__init__(space, latent_size)


class Altered(Deep):
    def __init__(self, space: SampleSpace, latent_size: int = 4, hidden: Any = 8) -> None:
        super().__init__(space, latent_size, hidden=hidden - 1)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(1, 1) for _ in range(hidden)])


@pytest.mark.parametrize("hidden", [32, 0.5, True, None, "wide", [1, 2], (1, "a"), np.int64(3), (np.float32(0.5),)])
def test_a_generator_of_ones_own_is_saved_and_loaded(
    hidden: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GENERATORS, "Kept", Kept)
    made = Pipeline(Kept(SPACE, hidden=hidden), IntegersCodec((6,), 3))
    state = torch.get_rng_state()
    made.save_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    loaded = Pipeline.from_pretrained(tmp_path)
    assert np.array_equal(loaded.generate(9).codes, made.generate(9).codes)
    assert loaded.generator.settings == made.generator.settings
    plain = loaded.generator.settings["hidden"]
    assert plain == (list(hidden) if isinstance(hidden, tuple) else hidden)


@pytest.mark.parametrize(
    ("kind", "hidden", "words"),
    [
        (
            Lost,
            8,
            "^generator Lost cannot be built again: its argument 'hidden' is not in settings; pass it on by "
            r"super\(\).__init__\(space, latent_size, hidden=hidden\)$",
        ),
        (Kept, {"a": 1}, "^settings of generator Kept: hidden must be a string, a finite number, .*, got {'a': 1}$"),
        (Kept, float("nan"), "^settings of generator Kept: hidden must be a string, a finite number, .*, got nan$"),
        (Altered, 2, r"^weights of generator Altered hold the unknown 'layers\.1\.bias'$"),
    ],
)
def test_a_generator_that_could_not_be_built_again_is_not_saved(
    kind: Any, hidden: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GENERATORS, kind.__name__, kind)
    made = Pipeline(kind(SPACE, hidden=hidden), IntegersCodec((6,), 3))
    with pytest.raises(InputError, match=words):
        made.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_complex_weights_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENERATORS, "Kept", Kept)
    made = Pipeline(Kept(SPACE), IntegersCodec((6,), 3))
    made.generator.register_buffer("phases", torch.ones(2, dtype=torch.complex64))
    with pytest.raises(InputError, match=r"must be in float32 to be saved, got phases in torch.complex64"):
        made.save_pretrained(tmp_path / "model")


class Forgetful(Generator):
    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Any:
        raise AssertionError("a network that is half made is never called")


def test_networks_that_are_not_made_or_half_made_are_refused() -> None:
    generator, discriminator, codec = MLPGenerator(SPACE), MLPDiscriminator(SPACE), BinaryCodec()
    needs = r"generator must extend bgan_discrete\.Generator, got None"
    cases: list[tuple[Any, str]] = [
        (
            lambda: Trainer(Forgetful(), discriminator, CODES),
            r"Forgetful must call super\(\)\.__init__\(space, \.\.\.\)",
        ),
        (lambda: Trainer(MLPGenerator, discriminator, CODES), "generator .* got the class MLPGenerator; call it$"),  # type: ignore[arg-type]
        (lambda: Trainer(None, discriminator, CODES), needs),  # type: ignore[arg-type]
        (lambda: Trainer(generator, None, CODES), "discriminator must extend .* got None"),  # type: ignore[arg-type]
        (
            lambda: Trainer(generator, MLPDiscriminator(SPACE).requires_grad_(False), CODES),
            "discriminator must have parameters that require a gradient, got MLPDiscriminator",
        ),
        (lambda: Pipeline(None, codec), needs),  # type: ignore[arg-type]
        (lambda: Resampler(None, 2), r"discriminator must extend bgan_discrete\.Discriminator, got None"),  # type: ignore[arg-type]
    ]
    for make, words in cases:
        with pytest.raises(InputError, match=f"(?m){words}"):
            make()
