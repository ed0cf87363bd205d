"""Images of a class: what labels do in the networks, in training, in a saved model and in the scripts."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import ran, refused
from PIL import Image
from test_scripts import BRIEF, QUICK
from torch import Tensor, nn
from torch.nn.functional import group_norm

from bgan_discrete import (
    ConvDiscriminator,
    ConvGenerator,
    Discriminator,
    FactorizedCategorical,
    Generator,
    InputError,
    MLPDiscriminator,
    MLPGenerator,
    Pipeline,
    Trainer,
    TrainingConfig,
)
from bgan_discrete.codecs import CodecOptions, LevelsCodec
from bgan_discrete.config import ImageDataConfig, ImageTrainingConfig
from bgan_discrete.game.penalties import PENALTIES
from bgan_discrete.kinds import get_kind
from bgan_discrete.kinds.images import _columns_of, count_classes
from bgan_discrete.manifests import MANIFEST_FILE, file_facts, render_manifest
from bgan_discrete.metrics import evaluate_images
from bgan_discrete.metrics import images as metrics
from bgan_discrete.metrics.classifier import train_classifier
from bgan_discrete.models.format import CODEC_FILE, CONFIG_FILE, FORMAT, FORMAT_VERSION, WEIGHTS_FILE
from bgan_discrete.nn.images import ConditionalGroupNorm
from bgan_discrete.runs.generate import generate
from bgan_discrete.sources import load_images
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.labels import SHOWN_OF_CLASS, labels_of_samples

IMAGES = get_kind("images")
SPACE = SampleSpace((8, 8), 2)
QUICK_TRAINING: dict[str, Any] = {
    "num_draws": 3, "batch_size": 8, "threads": 1, "device": "cpu", "sample_interval": 0, "checkpoint_interval": 0,
}  # fmt: skip


def generator(num_classes: int | None = 3, **options: Any) -> ConvGenerator:
    torch.manual_seed(0)
    space = SampleSpace((8, 9), 4, ordered=True, **options)
    return ConvGenerator(space, latent_size=5, width=8, depth=2, num_classes=num_classes)


def discriminator(num_classes: int | None = 3) -> ConvDiscriminator:
    torch.manual_seed(1)
    return ConvDiscriminator(SampleSpace((8, 9), 4, ordered=True), width=8, num_classes=num_classes)


def spread_tables(module: nn.Module) -> None:
    """Give the classes something to say, which at first they have not."""
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.5)


def half_images(count: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Binary 8x8 images that are bright on the left (label 0), on the right (1) or below (2), with some noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    templates = np.zeros((3, 8, 8), np.uint8)
    templates[0, :, :4], templates[1, :, 4:], templates[2, 4:] = 1, 1, 1
    return templates[labels] ^ (rng.random((count, 8, 8)) < 0.05).astype(np.uint8), labels


def nearest_half(codes: np.ndarray) -> np.ndarray:
    templates = np.zeros((3, 8, 8), np.uint8)
    templates[0, :, :4], templates[1, :, 4:], templates[2, 4:] = 1, 1, 1
    return (codes[:, None] != templates).sum((2, 3)).argmin(1)


# The networks


def test_conditional_normalisation_against_the_formula() -> None:
    normalize = ConditionalGroupNorm(2, 6, 3)
    nn.init.normal_(normalize.weight)
    nn.init.normal_(normalize.bias)
    x, labels = torch.randn(4, 6, 5, 3), torch.tensor([2, 0, 2, 1])
    torch.testing.assert_close(normalize(x, labels), normalize(x))
    spread_tables(normalize)
    plain = group_norm(x, 2)
    for row, label in enumerate(labels):
        table = normalize.of_class.weight[label]
        expected = (
            plain[row] * (normalize.weight + table[:6])[:, None, None] + (normalize.bias + table[6:])[:, None, None]
        )
        torch.testing.assert_close(normalize(x, labels)[row], expected)


def test_a_conditional_generator_begins_as_the_unconditional_one() -> None:
    with_classes, without = generator(), generator(None)
    added = with_classes.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert added and all("of_class" in key or "expand_label" in key for key in added)
    latents, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(with_classes(latents, labels).logits, without(latents).logits)
    spread_tables(with_classes)
    same_latent = with_classes(latents[:1].expand(3, -1), labels[:3]).logits
    assert same_latent.shape == (3, 8, 9, 4)
    assert not torch.allclose(same_latent[0], same_latent[1])


def test_the_random_numbers_of_the_generator_do_not_depend_on_classes() -> None:
    with_classes, without = generator().state_dict(), generator(None).state_dict()
    assert all(torch.equal(with_classes[key], value) for key, value in without.items())


@pytest.mark.parametrize("soft", [False, True])
def test_the_projection_against_the_formula(soft: bool) -> None:
    network = discriminator()
    network.requires_grad_(False)
    codes, labels = torch.randint(0, 4, (6, 8, 9)), torch.tensor([2, 0])  # three draws of two latents
    inputs = torch.nn.functional.one_hot(codes, 4).float() if soft else codes
    phi = network.convolve(network.read(codes, 2).permute(0, 3, 1, 2)).flatten(1)
    expected = [
        float(network.to_log_ratio(phi[row]) + (network.project.weight[labels[row % 2]] * phi[row]).sum())
        for row in range(6)
    ]
    torch.testing.assert_close(network(inputs, labels), torch.tensor(expected))


def test_gradients_reach_the_rows_of_the_labels_and_no_others() -> None:
    made, judge = generator(), discriminator()
    labels = torch.tensor([2, 0, 2])
    made(torch.randn(3, 5), labels).logits[..., 0].square().sum().backward()
    judge(torch.randint(0, 4, (3, 8, 9)), labels).sum().backward()
    tables = [
        (name, part) for network in (made, judge) for name, part in network.named_modules()
        if isinstance(part, nn.Embedding)
    ]  # fmt: skip
    assert len(tables) == 2 + 3  # beside the latent, two blocks and the last normalisation; the projection
    for name, part in tables:
        assert part.weight.grad is not None, name
        assert (part.weight.grad.abs().sum(1) > 0).tolist() == [True, False, True], name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: generator()(torch.randn(2, 5)), "generator must be given labels, one a sample"),
        (lambda: generator(None)(torch.randn(2, 5), torch.zeros(2)), "generator must be given no labels"),
        (lambda: discriminator()(torch.zeros(2, 8, 9, dtype=torch.uint8)), "discriminator must be given labels"),
        (
            lambda: discriminator()(torch.zeros(3, 8, 9, dtype=torch.uint8), torch.zeros(2, dtype=torch.long)),
            "labels must be as many as codes, or a divisor of it, got 2 for 3",
        ),
        (lambda: generator(0), "num_classes must be at least 1, got 0"),
        (lambda: discriminator(0), "num_classes must be at least 1, got 0"),
        (lambda: generator(3, class_names=("a", "b")), "class_names must be 3 different ones, got 2"),
        (lambda: generator(2, class_names=("a", "a")), "class_names must be different ones, got 2, 1 different"),
    ],
)
def test_networks_refuse_what_does_not_fit(call: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


# Training


class TableGenerator(Generator):
    """Of the user's own: one code, whose logits are a row of a table for each label."""

    def __init__(self, num_classes: int, num_categories: int = 4) -> None:
        super().__init__(SampleSpace((1,), num_categories), latent_size=1, num_classes=num_classes)
        self.table = nn.Parameter(torch.zeros(num_classes, num_categories))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> FactorizedCategorical:
        return FactorizedCategorical(self.table[labels][:, None])


class TableDiscriminator(Discriminator):
    """Likewise its F."""

    def __init__(self, num_classes: int, num_categories: int = 4) -> None:
        super().__init__(SampleSpace((1,), num_categories), num_classes)
        self.table = nn.Parameter(torch.zeros(num_classes, num_categories))

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return self.table[labels.repeat(len(codes) // len(labels)), codes[:, 0].long()]


def test_networks_of_ones_own_learn_the_distribution_of_each_label() -> None:
    target = np.array([[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.1, 0.8], [0.25, 0.25, 0.5, 0.0]])
    # The data have exactly these frequencies, and labels that are not equally frequent.
    codes = np.concatenate(
        [np.repeat(np.arange(4), (p * n).round().astype(int)) for p, n in zip(target, (60, 300, 120), strict=True)]
    )
    labels = np.repeat([0, 1, 2], (60, 300, 120))
    config = TrainingConfig(
        estimator="rloo", num_draws=8, batch_size=160, max_steps=400, generator_lr=0.05, discriminator_lr=0.05,
        penalty="none", threads=1, device="cpu", ema_decay=0.99, checkpoint_interval=0,
    )  # fmt: skip
    trainer = Trainer(TableGenerator(3), TableDiscriminator(3), codes[:, None].astype(np.uint8), config, labels=labels)
    trainer.train(progress=False)
    learnt = torch.softmax(trainer.average.module.table, -1).detach().numpy()
    assert np.abs(learnt - target).max() < 0.06
    made = trainer.sample(6000, labels=np.arange(6000) % 3)[:, 0]
    for label in range(3):
        found = np.bincount(made[label::3], minlength=4) / 2000
        assert np.abs(found - learnt[label]).max() < 0.05


def image_trainer(folder: Path | None = None, max_steps: int = 6, **options: Any) -> Trainer:
    torch.manual_seed(0)
    codes, labels = half_images()
    made = ConvGenerator(SPACE, latent_size=4, width=8, num_classes=3)
    judge = ConvDiscriminator(SPACE, width=8, num_classes=3)
    labels = options.pop("labels", labels)
    config = TrainingConfig(**{**QUICK_TRAINING, "max_steps": max_steps, **options})
    return Trainer(
        made, judge, codes, config, labels=labels, output_dir=folder
    )  # fmt: skip


def test_samples_follow_their_labels() -> None:
    trainer = image_trainer(max_steps=120, batch_size=32, penalty_weight=0.1, ema_decay=0.9)
    trainer.train(progress=False)
    labels = np.random.default_rng(0).integers(0, 3, 300)
    codes = trainer.sample(300, labels=labels)
    assert (nearest_half(codes) == labels).mean() > 0.97
    assert len({code.tobytes() for code in codes[labels == 0]}) > 20, "they are drawn"
    evenly = trainer.sample(300)
    assert (nearest_half(evenly) == np.arange(3).repeat(100)).mean() > 0.97


def test_the_real_samples_of_a_step_come_with_their_own_labels() -> None:
    codes = np.arange(40, dtype=np.uint8)[:, None]
    own, judge = TableGenerator(4, 40), TableDiscriminator(4, 40)
    config = TrainingConfig(**QUICK_TRAINING, max_steps=1)
    trainer = Trainer(own, judge, codes, config, labels=codes[:, 0] % 4)
    for count in (0, 7):
        real, labels = trainer.data.batch(count)
        assert labels is not None and torch.equal(real[:, 0] % 4, labels.to(torch.uint8))


@pytest.mark.parametrize(
    "options",
    [
        *({"penalty": name} for name in PENALTIES),
        {"gradient_accumulation_steps": 3, "penalty": "roth", "discriminator_draws": 2},
        {"discriminator_steps": 2, "phases": "discriminator=0.01,game", "estimator": "maligan"},
    ],
    ids=str,
)
def test_whatever_a_step_is_made_of_it_moves_every_parameter(options: dict[str, Any]) -> None:
    trainer = image_trainer(**options)
    before = {name: value.clone() for name, value in trainer.generator.named_parameters()}
    before_judge = {name: value.clone() for name, value in trainer.discriminator.named_parameters()}
    trainer.train(progress=False)
    for network, old in ((trainer.generator, before), (trainer.discriminator, before_judge)):
        for name, value in network.named_parameters():
            assert torch.isfinite(value).all() and not torch.equal(value, old[name]), name


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = image_trainer(tmp_path / "a", checkpoint_interval=3, keep_last=9)
    whole.train(progress=False)
    resumed = image_trainer()
    torch.manual_seed(77)
    path = tmp_path / "a" / "checkpoints" / "step-00000003"
    resumed.resume(path)
    resumed.train(progress=False)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name
    assert np.array_equal(whole.sample(9), resumed.sample(9))
    with pytest.raises(InputError, match="the data are not those that the run began with"):
        image_trainer(labels=half_images()[1][::-1].copy()).resume(path)


def test_unlabelled_data_are_known_by_the_digest_of_older_checkpoints() -> None:
    codes, _ = half_images()
    networks = MLPGenerator(SPACE, 4, 8), MLPDiscriminator(SPACE, 8)
    trainer = Trainer(*networks, codes, TrainingConfig(**QUICK_TRAINING, max_steps=1))
    expected = hashlib.sha256(f"{codes.dtype} {codes.shape}".encode() + codes.tobytes()).hexdigest()
    assert trainer.state_dict()["data"] == expected


def test_what_is_shown_while_training_is_a_class_a_row() -> None:
    seen = []
    trainer = image_trainer(max_steps=2, sample_interval=1)
    trainer.train(progress=False, on_samples=lambda step, codes: seen.append(codes))
    assert [codes.shape for codes in seen] == [(3 * SHOWN_OF_CLASS, 8, 8)] * 2


def test_the_first_samples_do_not_depend_on_how_many_there_are() -> None:
    trainer = image_trainer()
    labels = np.random.default_rng(0).integers(0, 3, 30)
    many, few = trainer.sample(30, seed=4, labels=labels), trainer.sample(7, seed=4, labels=labels[:7])
    assert np.array_equal(many[:7], few)


BAD_LABELS: list[tuple[dict[str, Any], str]] = [
    ({"labels": None}, "labels must be given, since the generator has 3 classes"),
    ({"labels": np.zeros(63, int)}, r"integers, one for each of 64 codes, got int64 \[63\]"),
    ({"labels": np.zeros(64)}, r"got float64 \[64\]"),
    ({"labels": torch.zeros(64, 1, dtype=torch.int32)}, r"got int32 \[64, 1\]"),
    ({"labels": np.full(64, 3)}, r"labels must be in \[0, 3\), got 3"),
    ({"labels": np.full(64, -1)}, r"labels must be in \[0, 3\), got -1"),
    ({"continuous": "boundary_seeking"}, "labels do not go with continuous, phases with likelihood or credit"),
    ({"phases": "likelihood,game"}, "labels do not go with continuous, phases with likelihood or credit"),
]


@pytest.mark.parametrize(("options", "words"), BAD_LABELS, ids=lambda value: str(value)[:30])
def test_labels_that_cannot_be_used_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        image_trainer(**options)


def test_networks_that_know_no_classes_or_others_are_refused() -> None:
    codes, labels = half_images()
    config = TrainingConfig(**QUICK_TRAINING, max_steps=1)

    def trainer(of_generator: int | None, of_discriminator: int | None, **options: Any) -> Trainer:
        networks = (
            ConvGenerator(SPACE, 4, 8, num_classes=of_generator),
            ConvDiscriminator(SPACE, 8, num_classes=of_discriminator),
        )
        return Trainer(*networks, codes, config, **options)

    with pytest.raises(InputError, match="labels need a generator with num_classes"):
        trainer(None, None, labels=labels)
    with pytest.raises(InputError, match=r"same everywhere, got 3 and 4 \(discriminator\)"):
        trainer(3, 4, labels=labels)
    with pytest.raises(InputError, match="labels need a discriminator with num_classes"):
        trainer(3, None, labels=labels)
    with pytest.raises(InputError, match="labels must be given, since the discriminator has 3 classes"):
        trainer(None, 3)
    for plain in (MLPGenerator(SPACE, 4, 8), MLPDiscriminator(SPACE, 8), ConvGenerator(SPACE, 4, 8)):
        with pytest.raises(InputError, match="must be given no labels, since it has no num_classes"):
            plain(torch.zeros(2, 4), torch.zeros(2, dtype=torch.long))


def test_a_class_may_be_absent() -> None:
    codes, config = np.zeros((4, 1), np.uint8), TrainingConfig(**QUICK_TRAINING, max_steps=1)
    labels = np.array([0, 3, 1, 3], np.uint8)
    parts = (TableGenerator(4), TableDiscriminator(4), codes, config)
    assert Trainer(*parts, labels=labels).sample(8).shape == (8, 1)


# Labels of samples


def test_samples_are_shared_evenly_among_labels_in_their_order() -> None:
    def shared(labels: Any, count: int, classes: int = 10) -> list[int]:
        found = labels_of_samples(labels, count, classes)
        assert found is not None
        return found.tolist()

    assert shared([3, 7], 6) == [3, 3, 3, 7, 7, 7]
    assert shared([7, 3], 5) == [7, 7, 7, 3, 3]
    assert shared([5], 2) == [5, 5]
    assert shared([9, 0, 9], 3) == [9, 0, 9], "as many labels as samples are one each"
    assert shared(None, 4, 2) == [0, 0, 1, 1]
    assert shared(None, 3, 6) == [0, 2, 4], "more classes than samples"
    assert labels_of_samples(None, 5, None) is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 2, 3], "at most as many as num_samples = 2, got 3"),
        ([10], r"must be in \[0, 10\), got 10"),
        ([-1], "got -1"),
        ([], "labels must be integers, one after the other"),
        ([0.5], "got float64"),
        ([[1]], r"\[1, 1\]"),
    ],
)
def test_wrong_labels_of_samples(labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        labels_of_samples(labels, 2, 10)


# The saved model


def classes_pipeline(class_names: tuple[str, ...] | None = ("cat", "dog", "1")) -> Pipeline:
    made = generator(class_names=class_names)
    spread_tables(made)
    return Pipeline(made, LevelsCodec(4))


def test_classes_travel_with_the_model(tmp_path: Path) -> None:
    pipeline = classes_pipeline()
    pipeline.save_pretrained(tmp_path)
    loaded = Pipeline.from_pretrained(tmp_path)
    assert (loaded.num_classes, loaded.class_names) == (3, ("cat", "dog", "1"))
    made = loaded.generate(6, labels=["dog", "cat"])
    assert made.labels is not None and made.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert np.array_equal(made.codes, pipeline.generate(6, labels=[1, 0]).codes)
    assert not np.array_equal(made.codes, loaded.generate(6, labels=[2]).codes)
    of_strings = loaded.generate(3, labels=["1", "0", "2"]).labels
    assert of_strings is not None and of_strings.tolist() == [2, 0, 2], "a name goes before a number"
    of_one = loaded.generate(2, labels="dog").labels
    assert of_one is not None and of_one.tolist() == [1, 1]
    evenly = loaded.generate(7).labels
    assert evenly is not None and evenly.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_model_without_classes_gives_none(tmp_path: Path) -> None:
    pipeline = Pipeline(generator(None), LevelsCodec(4))
    pipeline.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["num_classes"], settings["space"]["class_names"]) == (None, None)
    assert pipeline.generate(2).labels is None
    with pytest.raises(InputError, match=r"trained with them \(conditional\); this one has no classes"):
        Pipeline.from_pretrained(tmp_path).generate(2, labels=["dog"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["bird"], "labels must be numbers from 0 to 2 or one of cat, dog, 1, got 'bird'"),
        ([3], r"must be in \[0, 3\), got 3"),
        ([True], "got True"),
        (["9" * 5000], "labels must be numbers from 0 to 2"),
        ([0] * 5, "at most as many as num_samples = 4, got 5"),
    ],
)
def test_a_pipeline_refuses_unknown_labels(labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        classes_pipeline().generate(4, labels=labels)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_classes": 4}, "class_names must be 4 different ones"),
        ({"num_classes": 4, "class_names": None}, "must have the shape"),
        ({"num_classes": 10**9}, "num_classes must be an integer, 1 .. "),
        ({"num_classes": True}, "num_classes must be an integer"),
        ({"num_classes": None}, "hold the unknown 'expand_label.weight'"),
        ({"class_names": []}, "class_names must be different ones, got 0"),
        ({"class_names": [1, 2, 3]}, "class_names must be null or a list of strings"),
        ({"class_names": "abc"}, "class_names must be null or a list of strings"),
    ],
)
def test_damaged_settings_of_classes_are_one_line(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    classes_pipeline().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for key, value in changes.items():
        (config["settings"]["space"] if key == "class_names" else config["settings"])[key] = value
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    listed = {name: file_facts(tmp_path / name) for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE)}
    (tmp_path / MANIFEST_FILE).write_text(render_manifest(FORMAT, FORMAT_VERSION, listed), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        Pipeline.from_pretrained(tmp_path)


# The report


def test_the_share_of_samples_that_are_of_their_own_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "train_classifier", partial(train_classifier, steps=60))
    (training, labels), (heldout, heldout_labels), (samples, own) = (half_images(200, seed) for seed in (1, 2, 3))

    def judged(sample_labels: np.ndarray) -> Any:
        report = evaluate_images(
            samples, training, heldout, num_categories=2, training_labels=labels, heldout_labels=heldout_labels,
            sample_labels=sample_labels,
        )  # fmt: skip
        return report.figures["label_accuracy"]

    figure = judged(own)
    assert (figure.value, figure.floor) == (1, 1)
    assert figure.baseline < 0.6
    assert judged(np.where(np.arange(200) < 50, (own + 1) % 3, own)).value == pytest.approx(0.75)
    with pytest.raises(InputError, match="sample_labels must be one for each of 200 samples, got 3"):
        judged(own[:3])


# The scripts


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short conditional run on the digits."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    ran("train_images", "--conditional", "--output-dir", str(folder), *QUICK, cwd=folder.parent)
    return folder


def test_a_conditional_run_of_the_scripts(conditional: Path, tmp_path: Path) -> None:
    report = json.loads((conditional / "report.json").read_text(encoding="utf-8"))
    accuracy = report["figures"]["label_accuracy"]
    assert 0 <= accuracy["value"] <= 1 and accuracy["floor"] == report["classifier_accuracy"] > 0.9
    assert "samples classified as their own label" in (conditional / "report.html").read_text(encoding="utf-8")
    cell = 8 * 6 + 2
    assert Image.open(conditional / "samples.png").size == (10 * cell + 2, 10 * cell + 2)
    assert Image.open(conditional / "samples" / "step-0000006.png").size == (SHOWN_OF_CLASS * cell + 2, 10 * cell + 2)
    model = str(conditional / "model")
    ran(
        "generate_images", "--model", model, "--labels", "3,7", "--num-samples", "20", "--output", "a.png", cwd=tmp_path
    )
    assert Image.open(tmp_path / "a.png").size == (10 * cell + 2, 2 * cell + 2), "a row a class"
    ran(
        "generate_images", "--model", model, "--labels", "3, 7", "--num-samples", "5", "--output", "a.npz", cwd=tmp_path
    )
    with np.load(tmp_path / "a.npz") as made:
        assert made["labels"].tolist() == [3, 3, 3, 7, 7]
        assert made["codes"].shape == (5, 8, 8)
    evaluated = ran("evaluate_images", "--model", model, "--num-samples", "60", "--output", "r.json", cwd=tmp_path)
    assert "samples classified as their own label" in evaluated.stdout
    again = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert again["figures"] == report["figures"], "the run's own report is the same evaluation"


def test_bad_labels_are_one_line(conditional: Path, tmp_path: Path) -> None:
    model = conditional / "model"
    said = refused("generate_images", "--model", str(model), "--labels", "three", cwd=tmp_path)
    assert "labels must be numbers from 0 to 9 or one of 0, 1, 2" in said
    for labels, words in (
        ("3,", "labels must be numbers"),
        ("10", r"labels must be in \[0, 10\), got 10"),
        ("1,2,3", "at most as many as num_samples = 2, got 3"),
    ):
        with pytest.raises(InputError, match=words):
            generate(model, 2, tmp_path / "a.png", device="cpu", labels=labels)
    Pipeline(ConvGenerator(SampleSpace((8, 8), 17, ordered=True), 4, 8), LevelsCodec(17)).save_pretrained(
        tmp_path / "plain"
    )
    said = refused("generate_images", "--model", "plain", "--labels", "3", cwd=tmp_path)
    assert "this one has no classes" in said
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (None, None),
        ([0, 0, 0, 1, 1, 1], 3),
        ([0] * 40 + [1] * 40, 10),
        ([0] * 3 + [1] * 2, None),
        ([0, 1, 2], None),
        ([0] * 17, None),
    ],
    ids=str,
)
def test_a_grid_has_no_row_of_two_classes_where_that_can_be(labels: list[int] | None, columns: int | None) -> None:
    assert _columns_of(None if labels is None else np.array(labels)) == columns


def test_training_without_labels_or_with_a_gap_is_one_line(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "plain.npz", images=images)
    arguments = ("--conditional", "--output-dir", "run", *QUICK, "--dataset", "plain.npz")
    said = refused("train_images", *arguments, cwd=tmp_path)
    assert "conditional needs labels" in said and "--label-column" in said
    assert not (tmp_path / "run").exists(), "nothing was begun"
    for labels, words in (
        (np.arange(60) % 2 * 2, r"every label from 0 to 2; there is no 1: number .* return_inverse=True\)\[1\]"),
        (np.full(60, -2), "got -2"),
    ):
        # Only the labels of the training part count.
        data = replace(load_images(images, codec=CodecOptions("binary")), labels=labels)
        with pytest.raises(InputError, match=words):
            count_classes(data)
    with pytest.raises(InputError, match="leave out continuous 'boundary_seeking'"):
        ImageTrainingConfig.from_flat({"conditional": True, "continuous": "boundary_seeking"})


def test_classes_of_few_training_images_are_named(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 2
    labels[7] = 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[::-1], y_test=labels[::-1])
    arguments = ("--conditional", *BRIEF, "--dataset", "a.npz")
    said = ran("train_images", "--output-dir", "run", *arguments, cwd=tmp_path).stderr
    line = "1 of 3 classes have fewer than 10 training images, too few to learn them from (2: 1)"
    assert said.count(line) == 1
    said = ran("train_images", "--output-dir", "other", *arguments[1:], cwd=tmp_path).stderr
    assert "classes" not in said, "without conditional labels are not learnt from"


def test_of_many_small_classes_some_are_named() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    data = replace(load_images(images, codec=CodecOptions("binary")), labels=np.repeat(np.arange(18), 3))
    config = ImageTrainingConfig.from_flat({"conditional": True})
    (warning,) = IMAGES.warnings(config, data)
    assert "18 of 18 classes" in warning and "9: 3, and 8 more)" in warning
    names = tuple("abcdef")
    (warning,) = IMAGES.warnings(config, replace(data, labels=np.arange(54) % 5, class_names=names))
    assert "1 of 6 classes" in warning and "(f: 0)" in warning
    assert IMAGES.warnings(config, replace(data, labels=np.arange(54) % 5)) == []
    assert IMAGES.warnings(ImageTrainingConfig(), data) == [], "without conditional labels are not learnt from"


def test_data_are_judged_by_the_names_of_their_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = IMAGES.load(ImageDataConfig())
    assert digits.labels is not None and digits.class_names is not None
    names, judged = digits.class_names, []
    pipeline = Pipeline(
        ConvGenerator(SampleSpace((8, 8), 17, ordered=True, class_names=names), 4, 8, num_classes=10), digits.codec
    )
    turned = replace(digits, class_names=names[::-1], labels=9 - digits.labels)
    monkeypatch.setattr("bgan_discrete.kinds.images.evaluate_images", lambda codes, *_, **others: judged.append(others))
    made = []
    generate = pipeline.generate
    monkeypatch.setattr(pipeline, "generate", lambda *a, **others: made.append(others) or generate(*a, **others))
    for data in (digits, turned):
        IMAGES.evaluate(pipeline, data, 60)
    assert np.array_equal(made[0]["labels"], made[1]["labels"]), "the model is asked for the same"
    assert np.array_equal(judged[0]["sample_labels"], 9 - judged[1]["sample_labels"]), "in the data's own numbers"
    with pytest.raises(InputError, match=r"must have the model's classes, 0, 1, .*; it has 'ten' too"):
        IMAGES.evaluate(pipeline, replace(digits, class_names=(*names[:9], "ten")), 60)


def test_a_model_of_fewer_classes_than_the_data_is_not_judged_by_them() -> None:
    pipeline = Pipeline(ConvGenerator(SampleSpace((8, 8), 17, ordered=True), 4, 8, num_classes=3), LevelsCodec(17))
    with pytest.raises(InputError, match="dataset must have the model's 3 classes, got 10"):
        IMAGES.evaluate(pipeline, IMAGES.load(ImageDataConfig()), 50)
