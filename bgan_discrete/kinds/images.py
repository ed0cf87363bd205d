"""Images: pixels of categories, grey levels or colours of a palette."""

import dataclasses
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgan_discrete.codecs import CodecOptions, ImageCodec
from bgan_discrete.config import IN_ROUNDS, ImageDataConfig, ImageTrainingConfig, split_revision
from bgan_discrete.durable import replacing_file
from bgan_discrete.errors import InputError, visible
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.imaging import image_grid, save_png
from bgan_discrete.kinds.given import codes_of_images
from bgan_discrete.kinds.kind import METRICS_SEED, GivenCodes, Kind, Samples, in_rounds, refuse_options, with_likelihood
from bgan_discrete.kinds.sample_files import write_npz
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.images import check_counts, evaluate_images
from bgan_discrete.metrics.judges import image_judge
from bgan_discrete.metrics.marginals import log_frequencies
from bgan_discrete.metrics.verdict import Judge
from bgan_discrete.nn import ContinuousConvGenerator, ConvDiscriminator, ConvGenerator, MaskedConvGenerator
from bgan_discrete.publishing.card import Words
from bgan_discrete.reporting.neighbours import IMAGE_PAIRS, absent_classes, nearest_images
from bgan_discrete.reporting.rounds import DrawnRounds, picture_of_rounds
from bgan_discrete.sources import ImageData, load_images
from bgan_discrete.sources.rows import LABELS_ASIDE
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.labels import SHOWN_CLASSES

GRID_SAMPLES, GRID_OF_CLASS = 100, 10
ROUNDS = 16
"""In which masked generators draw unless others are asked for: then the first one has a pixel or two."""

FEW_OF_CLASS = 10
"""Classes of fewer training images are a warning of conditional runs."""

SHOWN_OF_FEW = 10
MAX_COLUMNS = 16
"""Of a grid with a class in a row, or in several whole rows."""


class Images(Kind):
    """Binary images, grey levels and palettes, with or without classes."""

    name, noun, suffix = "images", "images", ".png"
    has_cache = True
    config_class = ImageTrainingConfig
    codec_class = ImageCodec

    def load(self, config: ImageDataConfig, codec: ImageCodec | None = None, dataset: Any = None) -> ImageData:
        """Images, quantised and cached."""
        options = CodecOptions(name=config.codec, num_categories=config.num_categories, stochastic=config.stochastic)
        name, revision = split_revision(config.dataset)
        return load_images(
            name if dataset is None else dataset,
            column=config.column,
            label_column=config.label_column,
            split=config.split,
            resize=config.resize,
            color=config.color,
            limit=config.limit,
            holdout=config.holdout,
            codec=options if codec is None else codec,
            revision=revision,
        )

    def check_counts(self, num_samples: int, data: ImageData) -> None:
        """More of each than the neighbours that are looked at."""
        check_counts(num_samples, len(data.codes), len(data.heldout_codes))

    def classes(self, config: ImageTrainingConfig, data: ImageData) -> tuple[int, np.ndarray] | None:
        """Only of a conditional model."""
        if not config.model.conditional:
            return None
        num_classes = count_classes(data)
        assert data.labels is not None
        return num_classes, data.labels

    def warnings(self, config: ImageTrainingConfig, data: ImageData) -> list[str]:
        """Classes that are too small to learn."""
        classes = self.classes(config, data)
        if classes is None:
            return []
        num_classes, labels = classes
        counts = np.bincount(labels[labels < num_classes], minlength=num_classes)
        few = np.flatnonzero(counts < FEW_OF_CLASS)
        if not len(few):
            return []
        names = data.class_names
        shown = ", ".join(f"{names[label] if names else label}: {counts[label]}" for label in few[:SHOWN_OF_FEW])
        more = f", and {len(few) - SHOWN_OF_FEW} more" if len(few) > SHOWN_OF_FEW else ""
        return [
            f"{len(few)} of {num_classes} classes have fewer than {FEW_OF_CLASS} training images, too few to learn "
            f"them from ({visible(shown)}{more})"
        ]

    def networks(
        self, config: ImageTrainingConfig, space: SampleSpace, num_classes: int | None = None
    ) -> tuple[Generator, Discriminator]:
        """Convolutional networks."""
        model, is_continuous = config.model, config.training.continuous != "none"
        if is_continuous and not space.ordered:
            raise InputError("continuous needs codes that are a scale: use --codec levels")
        torch.manual_seed(config.training.seed)
        is_partial = model.generator in IN_ROUNDS
        sizes = (model.latent_size, model.generator_width, model.generator_depth)
        generator: Generator
        if is_partial:
            own = in_rounds(model, space, "coarse_to_fine", ROUNDS)
            generator = MaskedConvGenerator(space, *sizes, **own, num_classes=num_classes)
        else:
            generator = (ContinuousConvGenerator if is_continuous else ConvGenerator)(space, *sizes, num_classes)
        discriminator = ConvDiscriminator(
            # Grey levels are mixtures of black and white.
            dataclasses.replace(space, num_categories=2) if is_continuous else space,
            model.discriminator_width,
            model.discriminator_depth,
            None if model.input_encoding == "auto" else model.input_encoding,
            num_classes,
            is_partial,
        )
        return generator, discriminator

    def start(self, generator: Generator, config: ImageTrainingConfig, data: ImageData) -> None:
        """Give the data's log-frequencies for an output bias."""
        generator.set_output_bias(torch.from_numpy(log_frequencies(data.codes, data.num_categories)))

    def given_codes(self, given: Any, codec: ImageCodec, space: SampleSpace) -> GivenCodes:
        """Of pictures whose transparent pixels are drawn."""
        return GivenCodes(codes_of_images(given, codec, space))

    def to_show(self, generate: Callable[..., Samples], num_classes: int | None, seed: int) -> Samples:
        """For one grid; with classes ten of each of the first ones, so that a class is a row."""
        if num_classes is None:
            return generate(GRID_SAMPLES, seed=seed)
        shown = min(num_classes, SHOWN_CLASSES)
        return generate(shown * GRID_OF_CLASS, seed=seed, labels=range(shown))

    def save(self, samples: Samples, path: Path) -> np.ndarray:
        """One picture, a grid."""
        grid = image_grid(samples.values, _columns_of(samples.labels))
        save_png(grid, path)
        return grid

    def check_output(self, output: Path | None, codec: ImageCodec) -> None:
        """A .png, a .npz, or a new or empty folder."""
        if output is None:
            raise InputError("output must be a .png or .npz file or a new folder for samples of images, got none")
        if output.suffix in (".png", ".npz"):
            if output.is_dir():
                raise InputError(f"output must be a file, got the folder {str(output)!r}")
        elif output.suffix:
            raise InputError(f"output must end in .png or .npz, or be a folder without a suffix, got {str(output)!r}")
        elif output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"output must be a new or empty folder, got {str(output)!r}")

    def write(
        self,
        parts: Iterable[Samples],
        output: Path | None,
        num_samples: int,
        codec: ImageCodec,
        *,
        columns: int | None = None,
        decode: str = "inside",
    ) -> None:
        """One grid, an archive of arrays or a folder with one PNG a sample; a grid alone is held in memory."""
        assert output is not None
        drawn = iter(parts)
        parts = chain([next(drawn)], drawn)  # what cannot be drawn leaves no folder
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".png":
            made = list(parts)
            labels = None if made[0].labels is None else np.concatenate([part.labels for part in made])
            images = np.concatenate([part.values for part in made])
            save_png(image_grid(images, columns or _columns_of(labels)), output)
        elif output.suffix == ".npz":
            with replacing_file(output) as file:
                write_npz(file, parts, num_samples, {"images": codec.decode})
        else:
            digits = max(6, len(str(num_samples - 1)))
            for number, image in enumerate(image for part in parts for image in part.values):
                save_png(image, output / f"{number:0{digits}d}.png")

    def facts(self, samples: Samples, data: ImageData, picture: Path) -> dict[str, Any]:
        """Nearest training images, and classes that only the held-out images have."""
        places = np.arange(min(IMAGE_PAIRS, len(samples)))
        if samples.labels is not None:  # they are in the order of the classes
            places = places * len(samples) // len(places)
        neighbours = nearest_images(samples.codes[places], data.codes, data.codec.decode, picture)
        absent = absent_classes(data.labels, data.heldout_labels, data.class_names)
        return {"neighbours": neighbours, "classes_absent_from_training": absent}

    def rounds(self, drawn: DrawnRounds, codec: ImageCodec, picture: Path) -> dict[str, Any]:
        """The samples after each round."""
        return picture_of_rounds(drawn, "pixels" if drawn.rounds.ndim == 2 else "codes", codec.decode, picture)

    def evaluate(
        self,
        pipeline: Any,
        data: ImageData,
        num_samples: int,
        seed: int = METRICS_SEED,
        *,
        resample: int = 1,
        rounds: int | None = None,
        **options: Any,
    ) -> Evaluation:
        """Distances of pixels and features, nearest neighbours, classes."""
        refuse_options(self.name, options)
        labels = asked = None
        if pipeline.num_classes is not None:
            labels = _labels_to_evaluate(data, pipeline.num_classes, num_samples, seed)
            asked = labels if data.labels is None else _classes_of_model(data, pipeline.class_names)[labels]
        samples = pipeline.generate(num_samples, seed=seed, labels=asked, resample=resample, rounds=rounds)
        if samples.codes.shape[1:] != tuple(data.event_shape):
            made, given = samples.codes.shape[1:], tuple(data.event_shape)
            raise InputError(
                f"dataset must have codes of the model's shape {made}, got {given}; bring its images to the model's "
                f"size with --resize {'x'.join(map(str, made[-2:]))}"
            )
        report = evaluate_images(
            samples.codes,
            data.codes,
            data.heldout_codes,
            num_categories=data.num_categories,
            ordered=data.codec.ordered,
            decode=data.codec.decode,
            training_labels=data.labels,
            heldout_labels=data.heldout_labels,
            class_names=data.class_names,
            sample_labels=labels,
        )
        return with_likelihood(report, pipeline.generator, data, rounds, resample)

    def judge(self, config: ImageTrainingConfig, data: ImageData) -> Judge:
        """Features of a frozen random network."""
        return image_judge(data.codec.decode, data.codes)

    def words(self, codec: ImageCodec) -> Words:
        """With the Hub's task for images."""
        return Words("images", "images", ("unconditional-image-generation", "Unconditional image generation"))

    def present(self, samples: Samples, like: Any = None, codec: Any = None) -> Any:
        """Pictures of Pillow; an array for a model that was fitted on an array."""
        return samples.pil() if like is None else samples.values


def count_classes(data: ImageData) -> int:
    """C of labelled images: as many as have names, else the largest label plus 1, of which none may be absent."""
    if data.labels is None:
        why = next((note for note in data.notes if note.startswith(LABELS_ASIDE)), "none were found")
        raise InputError(
            f"conditional needs labels, and {data.name!r} has none that can be used ({why}): name their column by "
            "--label-column, or put the image files of each class into a subfolder of its own"
        )
    found = np.unique(data.labels)
    if found[0] < 0:
        raise InputError(f"conditional needs labels from 0 on, got {found[0]}")
    if data.class_names is not None:
        return len(data.class_names)
    if len(found) <= found[-1]:
        gap = int((found != np.arange(len(found))).argmax())
        raise InputError(
            f"conditional needs training images of every label from 0 to {found[-1]}; there is no {gap}: number the "
            "labels without gaps by np.unique(labels, return_inverse=True)[1]"
        )
    return len(found)


def _classes_of_model(data: ImageData, known: tuple[str, ...] | None) -> np.ndarray:
    """The model's number of each of the data's classes: by their names, where both have some."""
    names = data.class_names
    if known is None or names is None:
        return np.arange(count_classes(data))
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise InputError(f"dataset must have the model's classes, {', '.join(known[:20])}; it has {unknown!r} too")
    return np.array([known.index(name) for name in names])


def _labels_to_evaluate(data: ImageData, num_classes: int, num_samples: int, seed: int) -> np.ndarray:
    """Labels in a random order: drawn from those of the training images, so that classes are as frequent as there."""
    rng = np.random.default_rng(seed)
    if data.labels is None:
        return rng.permutation(np.arange(num_samples) % num_classes)
    if count_classes(data) > num_classes:
        raise InputError(f"dataset must have the model's {num_classes} classes, got {count_classes(data)}")
    return rng.choice(data.labels, num_samples)


def _columns_of(labels: np.ndarray | None) -> int | None:
    """Columns of a grid in which no row holds two classes; None where that cannot be, or there are no classes."""
    if labels is None:
        return None
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    of_class = np.unique(np.diff(starts, append=len(labels)))
    if len(of_class) > 1:
        return None
    return max((width for width in range(2, MAX_COLUMNS + 1) if of_class[0] % width == 0), default=None)
