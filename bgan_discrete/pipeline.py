"""A trained generator with its codec: all that generating needs, in one folder and one object."""

import inspect
import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import Self

from bgan_discrete import __version__
from bgan_discrete.checks import check_at_least_one
from bgan_discrete.codecs import ArrayCodec, Codec, ImageCodec, TableCodec, TextCodec, load_codec
from bgan_discrete.devices import resolve_device
from bgan_discrete.distributions.sampling import check_sharpening
from bgan_discrete.durable import (
    MANIFEST_FILE,
    check_version,
    clean_leftovers,
    file_facts,
    file_inside,
    keep_permissions,
    make_folder,
    read_json,
    render_manifest,
    storage_error,
    sync_folder,
    verify_folder,
    working_folder,
    write_synced,
)
from bgan_discrete.errors import InputError, StorageError, one_line
from bgan_discrete.game.drawing import sample_codes
from bgan_discrete.game.players import Discriminator, Generator, check_players
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.nn import (
    ContinuousConvGenerator,
    ConvGenerator,
    ConvSequenceGenerator,
    GRUGenerator,
    MLPGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
)
from bgan_discrete.publishing.card import (
    CARD_FILE,
    PICTURE_FILE,
    Kind,
    ModelFacts,
    Samples,
    existing_card,
    existing_picture,
    pointed_at,
    remove_card,
    render_card,
    write_card,
)
from bgan_discrete.publishing.hub import ModelPlace, check_repo_id, find_model, names_hub_model, push_folder
from bgan_discrete.space import SampleSpace
from bgan_discrete.training.labels import labels_of_samples

FORMAT_VERSION = 3
FORMAT = "bgan_discrete.model"
CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE = "config.json", "model.safetensors", "codec.json"
MODEL_FILES = (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE, MANIFEST_FILE)
CONFIG_KEYS = {"format_version", "generator", "settings"}

SETTING_RANGES: dict[str, tuple[int, int]] = {
    "latent_size": (1, 2**20),
    "width": (1, 2**20),
    "depth": (1, 2**16),
    "heads": (1, 2**16),
    "num_classes": (1, 2**20),
}
"""What the sizes in a saved model's settings may be; whether the weights are of these sizes is asked after that."""

MAX_SIDE, MAX_AXES = 2**20, 8
"""Of an event shape in a saved model's settings."""


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _is_list(value: Any, fits: Callable[[Any], bool], shortest: int = 0, longest: int = 2**24) -> bool:
    return isinstance(value, list) and shortest <= len(value) <= longest and all(map(fits, value))


SPACE_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "event_shape": (
        f"a list of 1 to {MAX_AXES} integers, 1 .. {MAX_SIDE}",
        lambda value: _is_list(value, lambda side: _is_integer(side) and 1 <= side <= MAX_SIDE, 1, MAX_AXES),
    ),
    "num_categories": ("an integer", _is_integer),
    "sizes": ("null or a list of integers", lambda value: value is None or _is_list(value, _is_integer)),
    "end_id": ("null or an integer", lambda value: value is None or _is_integer(value)),
    "ordered": ("true or false", lambda value: isinstance(value, bool)),
    "class_names": (
        "null or a list of strings",
        lambda value: value is None or _is_list(value, lambda name: isinstance(name, str)),
    ),
}
"""What the space in a saved model's settings must hold; whether it is one, `SampleSpace` says after that."""

GENERATORS: dict[str, type[Generator]] = {
    kind.__name__: kind
    for kind in (
        ConvGenerator,
        ContinuousConvGenerator,
        MLPGenerator,
        ConvSequenceGenerator,
        MLPSequenceGenerator,
        GRUGenerator,
        TransformerGenerator,
    )
}
"""Generators that a saved model can name."""


@dataclass
class GeneratedText:
    """Samples of a text model.

    Attributes:
        codes: Integers ``[N, L]``.
        texts: N strings.
    """

    codes: np.ndarray
    texts: list[str]


@dataclass
class GeneratedRows:
    """Samples of a model of arrays or tables.

    Attributes:
        codes: Integers ``[N, *event_shape]``.
        rows: What they stand for: integers ``[N, *event_shape]``, or a table: column name -> N values.
    """

    codes: np.ndarray
    rows: Any


@dataclass
class GeneratedImages:
    """Samples of an image model.

    Attributes:
        codes: Integers ``[N, H, W]`` or ``[N, C, H, W]``.
        images: uint8 ``[N, H, W]`` or ``[N, H, W, 3]``.
        labels: The class that each was asked for, int64 ``[N]``; None of a model without classes.
    """

    codes: np.ndarray
    images: np.ndarray
    labels: np.ndarray | None = None

    def pil(self) -> list[Image.Image]:
        """The images as N pictures of Pillow, of mode L or RGB."""
        return [Image.fromarray(image) for image in self.images]


class Pipeline:
    """A trained generator with the codec of its data; see `ImagePipeline` and `TextPipeline`.

    Args:
        generator: The generator.
        codec: The codec of the data that it was trained on.
        device: Where it runs; see `bgan_discrete.devices.resolve_device`.
        discriminator: What weighs draws if `generate` is asked to resample; None where nothing does. It is not saved
            with the model.

    Raises:
        InputError: If the codec is of another kind of data, the generator's samples are not of its space, a network is
            none, or the discriminator's samples have other categories or another end.
    """

    kind = "data"
    codec_class: ClassVar[Any] = Codec

    def __init__(
        self, generator: Generator, codec: Any, device: str = "cpu", discriminator: Discriminator | None = None
    ) -> None:
        check_players(generator, discriminator)
        if not isinstance(codec, self.codec_class):
            other = next((kind.kind for kind in PIPELINES if isinstance(codec, kind.codec_class)), None)
            name = getattr(codec, "name", type(codec).__name__)
            raise InputError(
                f"the model is not one of {self.kind}{f' but one of {other}' if other else ''}: its codec is {name!r}"
            )
        difference = generator.space.difference(_space_of(codec, generator.space))
        if difference is not None:
            raise InputError(f"generator and codec must be of the same space, got {difference}")
        if discriminator is not None and not isinstance(generator, ContinuousConvGenerator):
            # Whose numbers are read as a scale, and how classes are called, a discriminator need not know.
            ours, theirs = (replace(x.space, ordered=False, class_names=None) for x in (generator, discriminator))
            if (difference := ours.difference(theirs)) is not None:
                raise InputError(f"generator and discriminator must be of the same space, got {difference}")
        self.device = resolve_device(device)
        self.generator = generator.to(self.device).eval()
        self.codec = codec
        self.discriminator = None if discriminator is None else discriminator.to(self.device).eval()
        self._origin: Path | None = None

    @property
    def num_classes(self) -> int | None:
        """Classes that samples can be asked of; None of a model that was trained without labels."""
        return self.generator.num_classes

    def __repr__(self) -> str:
        """Generator, codec and device."""
        return f"<{type(self).__name__}: {type(self.generator).__name__}, {self.codec.describe()}, on {self.device}>"

    def _codes(
        self,
        num_samples: int,
        seed: int | torch.Generator,
        batch_size: int,
        resample: int,
        draw: Callable[[Any, torch.Generator], Tensor] | None,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """The codes of samples; see `bgan_discrete.game.drawing.sample_codes`."""
        check_at_least_one(resample=resample)
        if resample > 1 and self.discriminator is None:
            raise InputError(
                f"resample {resample} needs a discriminator to weigh the draws by: give the pipeline one, as "
                "Pipeline(..., discriminator=...) or pipeline.discriminator = ..."
            )
        return sample_codes(
            self.generator,
            num_samples,
            seed,
            self.device,
            batch_size,
            draw,
            labels=None if labels is None else torch.from_numpy(labels),
            resampler=None if self.discriminator is None or resample == 1 else Resampler(self.discriminator, resample),
        ).numpy()

    def save_pretrained(self, folder: str | Path, *, repo_id: str | None = None) -> None:
        """Write weights (safetensors), configuration, codec and a manifest of the three into a folder, with a card.

        The card is ``README.md`` (with ``sample.png``, where it shows one). A model that was loaded and not changed
        keeps the card that lay with it; a card that somebody wrote or edited in ``folder`` stays. That it cannot be
        written is a warning.

        Args:
            folder: Made if missing. The files of an earlier model in it are replaced, with their permissions kept, and
                all others stay. A crash in between leaves the earlier model, this one, or a folder that
                `from_pretrained` refuses.
            repo_id: ``owner/name`` on the Hub, to be named in the card; nothing is uploaded.

        Raises:
            InputError: If ``repo_id`` is none, or `from_pretrained` could not build the generator again, which is none
                of `GENERATORS`, has settings that lack an argument or are no plain values, is not in float32, or holds
                inf or NaN; if ``folder`` holds the model of another package. Nothing has been written then.
            StorageError: If the folder or a file in it cannot be written.
        """
        name = type(self.generator).__name__
        if GENERATORS.get(name) is not type(self.generator):
            raise InputError(f"generator must be one of {', '.join(GENERATORS)} to be saved, got {name}")
        reference = None if repo_id is None else check_repo_id(repo_id)
        folder = Path(folder)
        # Copies: of weights that are tied to others the file holds as many.
        tensors = {key: value.to("cpu", copy=True).contiguous() for key, value in self.generator.state_dict().items()}
        for key, value in tensors.items():
            if value.dtype not in _DTYPE_NAMES:
                raise InputError(f"generator must be in float32 to be saved, got {key} in {value.dtype}")
            if not torch.isfinite(value).all():
                raise InputError(f"generator must be finite to be saved, got inf or NaN in {key}")
        _check_can_be_built(name, self.generator.settings, tensors)
        config = {"format_version": FORMAT_VERSION, "generator": name, "settings": self.generator.settings}
        _check_own(folder)
        try:
            make_folder(folder)
            clean_leftovers(folder)
            with working_folder(folder) as working:
                _write_model(working, tensors, json.dumps(config, indent=2) + "\n", self.codec.to_json())
                for file in MODEL_FILES:
                    keep_permissions(folder / file, working / file)
                sync_folder(working)
                card, picture = self._card(working, reference or folder.resolve().name)
                with suppress(OSError):
                    remove_card(folder)
                # The configuration first: it asks for a manifest of these files, and one that is there is another's.
                for file in MODEL_FILES:
                    (working / file).replace(folder / file)
                    sync_folder(folder)
        except OSError as error:
            raise storage_error(f"model {str(folder)!r}", error) from None
        try:
            write_card(folder, card, picture)
        except OSError as error:
            warnings.warn(f"the model is saved, its card is not: {one_line(error)}", stacklevel=2)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str = "Upload model",
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Upload what `save_pretrained` writes, and nothing else, to the Hugging Face Hub.

        A card that somebody wrote or edited on the Hub stays, unless that of this model was edited too.

        Args:
            repo_id: ``owner/name``; the repository is made if there is none.
            private: Make a repository that only its owner sees; None for the owner's own default.
            token: With the right to write; None for that of ``HF_TOKEN`` or ``hf auth login``.
            commit_message: Of the one commit.
            revision: Branch to commit to, which exists; None for main.
            create_pr: Propose the commit as a pull request.

        Returns:
            The address of the commit or of the pull request.

        Raises:
            InputError: If the id is none, the token does not do, the Hub cannot be reached, the model is none that
                `save_pretrained` can write, or a repository that is to be private exists and is public.
        """
        with tempfile.TemporaryDirectory(prefix="bgan-") as scratch:
            folder = Path(scratch)
            self.save_pretrained(folder, repo_id=repo_id)
            names = [name for name in (*MODEL_FILES, CARD_FILE, PICTURE_FILE) if (folder / name).is_file()]
            return push_folder(
                folder,
                names,
                repo_id,
                private=private,
                token=token,
                commit_message=commit_message,
                revision=revision,
                create_pr=create_pr,
            )

    def _card(self, working: Path, reference: str) -> tuple[str, bytes | None]:
        """The card of the model whose files have just been written: its own if it is the one that was loaded."""
        origin = self._origin
        if origin is not None:
            with suppress(OSError, ValueError, LookupError, TypeError):
                same = read_json(origin / MANIFEST_FILE)["files"] == read_json(working / MANIFEST_FILE)["files"]
                known = existing_card(origin) if same else None
                if known is not None:
                    return pointed_at(known, reference), existing_picture(origin, known)
        return render_card(model_facts(self), None, Samples(), reference), None

    @classmethod
    def from_pretrained(
        cls,
        model: "str | os.PathLike[str]",
        device: str = "cpu",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> Self:
        """Load what `save_pretrained` wrote; strict, and nothing in the folder is executed.

        Args:
            model: The model's folder, or the id of a model on the Hugging Face Hub, ``owner/name``. A folder that
                exists wins, and nothing that looks like a path is asked of the Hub; ``hf://owner/name`` always is.
                Of the Hub's files only those that the manifest names are fetched, into the Hub's cache; without
                network they are taken from there.
            device: Where it will run.
            revision: Branch, tag or commit on the Hub; None for its main branch.
            token: For a private model; None for that of ``HF_TOKEN`` or ``hf auth login``, False for none.

        Returns:
            The pipeline.

        Raises:
            InputError: If there is no such folder or model, or the Hub cannot be reached; if a file is missing, was
                changed, is of another format or of another kind of data, or if the
                weights do not fit the configuration in name, shape or dtype. Nothing is used of a folder that is not
                as its manifest says.
        """
        return cls(*_read_model(find_model(model, FORMAT, revision, token)), device)._from(model)

    def _from(self, model: "str | os.PathLike[str]") -> Self:
        """Remember the folder of a model that was loaded; its card lies there."""
        if not names_hub_model(model):
            self._origin = Path(model)
        return self


class ImagePipeline(Pipeline):
    """Generates images from a trained generator; arguments and errors as in `Pipeline`."""

    kind = "images"
    codec_class = ImageCodec
    codec: ImageCodec

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Of the classes, in their order; None where they have numbers alone."""
        return None if self.num_classes is None else self.generator.space.class_names

    def generate(
        self,
        num_samples: int,
        seed: int | torch.Generator = 0,
        batch_size: int = 1000,
        *,
        labels: Sequence[int | str] | np.ndarray | int | str | None = None,
        temperature: float = 1.0,
        resample: int = 1,
    ) -> GeneratedImages:
        """Draw samples: one latent each, and one draw of its categorical pixels.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine. Or their source, which
                goes on where it is.
            batch_size: How many at once; the samples depend on it.
            labels: The classes to draw, of a model with classes: L <= ``num_samples`` numbers or names, among which the
                samples are shared evenly, in their order: sample i has ``labels[i * L // num_samples]``, so that as
                many labels as samples are one each. One label alone is that of all samples. All classes once if None.
            temperature: Divides the logits of every pixel, > 0. 1 draws from the model's own distribution; below 1,
                pixels fall more often on what is most probable, and the samples are no longer those of the model.
            resample: Draw so many samples for each that is kept, one of them by its importance weight under the
                pipeline's discriminator: nearer to the data, at so many times the cost
                (`bgan_discrete.game.resampling.Resampler`).

        Returns:
            Codes and decoded images, and their labels.

        Raises:
            InputError: If a number is out of its range, or a generator of continuous grey levels, which has no logits,
                is to have a temperature; if there are more labels than samples, a label is unknown, or the model has no
                classes.
        """
        check_at_least_one(batch_size=batch_size, num_samples=num_samples)
        if isinstance(labels, (str, int, np.integer)):
            labels = [labels]
        numbers = None if labels is None else [self._class_number(label) for label in labels]
        of_samples = labels_of_samples(numbers, num_samples, self.num_classes)
        draw = _tempered(self.generator, temperature)
        codes = self._codes(num_samples, seed, batch_size, resample, draw, of_samples)
        return GeneratedImages(codes, self.codec.decode(codes), of_samples)

    def _class_number(self, label: Any) -> int:
        """Of a name, or of a number, also one in digits that is nobody's name."""
        names = self.class_names or ()
        if isinstance(label, str) and label in names:
            return names.index(label)
        if isinstance(label, (int, np.integer)) and not isinstance(label, bool):
            return int(label)
        # Numbers of classes have few digits; Python does not read thousands of them.
        if isinstance(label, str) and label.isdecimal() and len(label) < 10:
            return int(label)
        count = self.num_classes
        if count is None:
            return 0
        known = "" if not names else f" or one of {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
        raise InputError(f"labels must be numbers from 0 to {count - 1}{known}, got {_shown(label)}")


class TextPipeline(Pipeline):
    """Generates text from a trained generator; arguments and errors as in `Pipeline`."""

    kind = "text"
    codec_class = TextCodec
    codec: TextCodec

    def generate(
        self,
        num_samples: int,
        seed: int | torch.Generator = 0,
        batch_size: int = 1000,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prompt: str = "",
        resample: int = 1,
    ) -> GeneratedText:
        """Draw samples: one latent each, and one draw of its tokens.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine. Or their source, which
                goes on where it is.
            batch_size: How many at once; the samples depend on it.
            temperature: Divides the logits of every token, > 0.
            top_k: Draw from the so many most probable tokens only.
            top_p: Draw from the fewest most probable tokens that together have this probability.
            prompt: What every sample begins with; for autoregressive generators.
            resample: Draw so many samples for each that is kept, one of them by its importance weight under the
                pipeline's discriminator: nearer to the data, at so many times the cost
                (`bgan_discrete.game.resampling.Resampler`).

        Returns:
            Codes and texts.

        Raises:
            InputError: If an argument is out of its range; if the prompt is too long, or holds characters that the
                vocabulary lacks, or the generator draws all positions independently.
        """
        check_at_least_one(batch_size=batch_size, num_samples=num_samples)
        check_sharpening(temperature, top_k, top_p)
        given = self._prompt_codes(prompt)

        def draw(distribution: Any, rng: torch.Generator) -> Tensor:
            if (temperature, top_k, top_p) != (1.0, None, None):
                distribution = distribution.sharpened(temperature, top_k, top_p)
            return cast(Tensor, distribution.sample(1, rng, prompt=given)[0])

        codes = self._codes(num_samples, seed, batch_size, resample, draw)
        return GeneratedText(codes, self.codec.decode(codes))

    def _prompt_codes(self, prompt: str) -> Tensor | None:
        if not prompt:
            return None
        if not self.generator.takes_prompt:
            raise InputError("prompt needs an autoregressive generator (gru, transformer); this model is one-shot")
        (codes,) = self.codec.tokenize([prompt])
        unknown = self.codec.is_unknown(codes)
        if unknown.any():
            what = sorted(
                {character for character in prompt if self.codec.is_unknown(self.codec.tokenize([character])[0]).any()}
            )
            raise InputError(f"prompt holds what the model's vocabulary lacks: {', '.join(map(repr, what))}")
        if (back := self.codec.detokenize(codes)) != prompt:
            raise InputError(f"prompt must be as the model's tokenizer writes it, {back!r}, got {prompt!r}")
        if len(codes) > self.codec.length:
            raise InputError(
                f"prompt must have at most {self.codec.length} tokens, the model's length; {prompt!r} has {len(codes)}"
            )
        return torch.from_numpy(codes.astype(np.int64))


class ArrayPipeline(Pipeline):
    """Generates arrays or tables from a trained generator; arguments and errors as in `Pipeline`."""

    kind = "arrays or tables"
    codec_class = ArrayCodec
    codec: ArrayCodec

    def generate(
        self,
        num_samples: int,
        seed: int | torch.Generator = 0,
        batch_size: int = 1000,
        *,
        bin_ranges: bool = False,
        temperature: float = 1.0,
        resample: int = 1,
    ) -> GeneratedRows:
        """Draw samples: one latent each, and one draw of its codes.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine. Or their source, which
                goes on where it is.
            batch_size: How many at once; the samples depend on it.
            bin_ranges: Write a bin of a table's numbers as text such as ``[10, 25)`` rather than a number inside it.
            temperature: Divides the logits of every position, > 0; 1 draws from the model's own distribution.
            resample: Draw so many samples for each that is kept, one of them by its importance weight under the
                pipeline's discriminator: nearer to the data, at so many times the cost
                (`bgan_discrete.game.resampling.Resampler`).

        Returns:
            Codes, and what they stand for.

        Raises:
            InputError: If a number is out of its range, or ranges are asked for of an array.
        """
        check_at_least_one(batch_size=batch_size, num_samples=num_samples)
        if bin_ranges and not isinstance(self.codec, TableCodec):
            raise InputError("bin_ranges is for tables; the model is one of integer arrays")
        draw = _tempered(self.generator, temperature)
        codes = self._codes(num_samples, seed, batch_size, resample, draw)
        rows = self.codec.decode(codes, bin_ranges) if isinstance(self.codec, TableCodec) else self.codec.decode(codes)
        return GeneratedRows(codes, rows)


PIPELINES: tuple[type[ImagePipeline | TextPipeline | ArrayPipeline], ...] = (ImagePipeline, TextPipeline, ArrayPipeline)


def load(
    model: "str | os.PathLike[str]",
    device: str = "cpu",
    *,
    revision: str | None = None,
    token: str | bool | None = None,
) -> ImagePipeline | TextPipeline | ArrayPipeline:
    """Load a trained model of whatever kind; arguments and errors as in `Pipeline.from_pretrained`.

    Args:
        model: The model's folder, or its id on the Hugging Face Hub.
        device: Where it will run.
        revision: Branch, tag or commit on the Hub; None for its main branch.
        token: For a private model.

    Returns:
        The pipeline of the model's codec.

    Raises:
        InputError: If it cannot be loaded, or its codec is of a kind that no pipeline has.
    """
    generator, codec = _read_model(find_model(model, FORMAT, revision, token))
    for kind in PIPELINES:
        if isinstance(codec, kind.codec_class):
            return kind(generator, codec, device)._from(model)
    raise InputError(f"model {str(model)!r} has a codec {codec.name!r}, which is of no kind that a pipeline generates")


def model_facts(pipeline: Pipeline) -> ModelFacts:
    """What a model card says of a model, whatever its training.

    Args:
        pipeline: The model.

    Returns:
        Its facts.
    """
    codec = pipeline.codec
    kinds: tuple[tuple[Any, Kind], ...] = ((ImageCodec, "images"), (TextCodec, "text"), (TableCodec, "tables"))
    return ModelFacts(
        kind=next((kind for codec_class, kind in kinds if isinstance(codec, codec_class)), "arrays"),
        pipeline=type(pipeline).__name__,
        generator=type(pipeline.generator).__name__,
        parameters=sum(parameter.numel() for parameter in pipeline.generator.parameters()),
        sample=pipeline.generator.space.event_shape,
        categories=codec.num_categories,
        codec=codec.describe(),
        version=__version__,
    )


def _tempered(generator: Generator, temperature: float) -> Callable[[Any, torch.Generator], Tensor] | None:
    """What `sample_codes` draws by; None, its own way, for the model's own distribution."""
    check_sharpening(temperature, None, None)
    if temperature == 1:
        return None
    if isinstance(generator, ContinuousConvGenerator):
        raise InputError(f"temperature must be 1 for a generator of continuous grey levels, got {temperature}")
    return lambda distribution, rng: cast(Tensor, distribution.sharpened(temperature).sample(1, rng)[0])


def _read_model(place: ModelPlace) -> tuple[Generator, Codec]:
    """Generator and codec of a folder, all of whose files have been found good."""
    folder, within = place.folder, place.within
    named = f"model {str(folder)!r}"
    has_manifest = os.path.lexists(folder / MANIFEST_FILE)
    if has_manifest:
        listed = verify_folder(folder, FORMAT, FORMAT_VERSION, "model", within)["files"]
        for file in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE):
            if file not in listed:
                raise InputError(f"{named} has no {file} in its {MANIFEST_FILE}")
    elif not os.path.lexists(folder / CONFIG_FILE) and os.path.lexists(folder / "model" / CONFIG_FILE):
        raise InputError(f"{named} is the folder of a run; give the model in it, {str(folder / 'model')!r}")
    config = _read_config(file_inside(folder, CONFIG_FILE, named, within))
    if not has_manifest:
        raise InputError(
            f"{named} has no {MANIFEST_FILE}: it was not saved to the end, or the file was lost; save it again"
        )
    codec = load_codec(file_inside(folder, CODEC_FILE, named, within))
    weights = file_inside(folder, WEIGHTS_FILE, named, within)
    return _load_generator(config, folder / CONFIG_FILE, weights), codec


def _space_of(codec: Any, space: SampleSpace) -> SampleSpace:
    """What a codec's codes are; of images, of the size and the classes that a generator makes."""
    if isinstance(codec, ImageCodec):
        return codec.space_of(space.event_shape, space.class_names)
    return cast(SampleSpace, codec.space)


def _write_model(folder: Path, tensors: dict[str, Tensor], config: str, codec: str) -> None:
    weights = folder / WEIGHTS_FILE
    try:
        save_file(tensors, weights)
    except SafetensorError as error:
        raise StorageError(f"cannot write {str(folder.parent / WEIGHTS_FILE)!r}: {one_line(error)}") from None
    with weights.open("rb+") as file:
        os.fsync(file.fileno())
    # Its writer makes it for its owner alone; a model is there to be shared, as far as the folder is.
    weights.chmod(folder.stat().st_mode & 0o666)
    write_synced(folder / CONFIG_FILE, config.encode())
    write_synced(folder / CODEC_FILE, codec.encode())
    files = {name: file_facts(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE, CODEC_FILE)}
    write_synced(folder / MANIFEST_FILE, render_manifest(FORMAT, FORMAT_VERSION, files).encode())


def _check_own(folder: Path) -> None:
    """Raise InputError for a folder in which files of these names are not of a model that `save_pretrained` wrote."""
    held = [name for name in MODEL_FILES if os.path.lexists(folder / name)]
    with suppress(OSError, ValueError, LookupError, TypeError):
        held = [] if read_json(folder / MANIFEST_FILE)["format"] == FORMAT else held
    with suppress(OSError, ValueError, TypeError):
        held = [] if set(read_json(folder / CONFIG_FILE)) == CONFIG_KEYS else held
    if held:
        raise InputError(f"folder {str(folder)!r} holds {', '.join(held)} of another program; give another folder")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"model configuration {str(path)!r} cannot be read: {one_line(error)}") from None
    named = f"model configuration {str(path)!r}"
    if isinstance(config, dict) and "format_version" in config:  # first: another version may have other keys
        if type(version := config["format_version"]) is not int:
            raise InputError(f"{named} has format version {_shown(version)}, which is no integer")
        check_version(named, version, FORMAT_VERSION)
    if not isinstance(config, dict) or set(config) != CONFIG_KEYS or not isinstance(config["settings"], dict):
        raise InputError(f"{named} must hold exactly {', '.join(sorted(CONFIG_KEYS))}")
    return config


def _load_generator(config: dict[str, Any], path: Path, weights: Path) -> Generator:
    """Build a generator and fill it; what is built is no larger than the weights that are there."""
    name = config["generator"]
    if not isinstance(name, str) or name not in GENERATORS:
        raise InputError(f"generator {_shown(name)} in {str(path)!r} is unknown; known are {', '.join(GENERATORS)}")
    settings, named = config["settings"], f"settings in {str(path)!r}"
    _check_settings(name, settings, named)
    _compare(name, settings, named, _stored_tensors(weights), f"weights {str(weights)!r}")
    generator = _build_generator(name, settings, named).float()
    try:
        tensors = load_file(weights)
        generator.load_state_dict(tensors, strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"weights {str(weights)!r} cannot be loaded: {one_line(error)}") from None
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise InputError(f"weights {str(weights)!r} are inf or NaN in {key}")
    return generator


def _check_can_be_built(name: str, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Raise InputError for a generator that `_load_generator` would refuse."""
    for argument in inspect.signature(GENERATORS[name]).parameters:
        if argument not in settings:
            raise InputError(
                f"generator {name} cannot be built again: its argument {argument!r} is not in settings; pass it on by "
                f"super().__init__(space, latent_size, {argument}={argument})"
            )
    named = f"settings of generator {name}"
    _check_settings(name, settings, named)
    held = {key: (tuple(value.shape), _DTYPE_NAMES[value.dtype]) for key, value in tensors.items()}
    _compare(name, settings, named, held, f"weights of generator {name}")


def _build_generator(name: str, settings: dict[str, Any], named: str) -> Generator:
    try:
        return GENERATORS[name].from_settings(settings)
    except (InputError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{named} do not fit {name}: {one_line(error)}") from None


def _check_settings(name: str, settings: dict[str, Any], named: str) -> None:
    """Raise InputError for unknown names, sizes that cannot be computed with and other values than JSON's plain ones.

    What an own setting is beyond that, its class sees to.
    """
    _check_names(settings, set(inspect.signature(GENERATORS[name]).parameters), name, named)

    def refuse(key: str, rule: str, value: Any) -> InputError:
        return InputError(f"{named}: {key} must be {rule}, got {_shown(value)}")

    for key, value in settings.items():
        if key == "space":
            if not isinstance(value, dict):
                raise refuse(key, "a sample space", value)
            _check_names(value, set(SPACE_RULES), "a sample space", named)
            for part, (rule, fits) in SPACE_RULES.items():
                if not fits(value[part]):
                    raise refuse(part, rule, value[part])
        elif key in SETTING_RANGES:
            low, high = SETTING_RANGES[key]
            is_absent = key == "num_classes" and value is None
            if not is_absent and not (_is_integer(value) and low <= value <= high):
                raise refuse(key, f"an integer, {low} .. {high}", value)
        elif not (_is_plain(value) or _is_list(value, _is_plain)):
            raise refuse(key, "a string, a finite number, true, false, null or a list of these", value)


def _check_names(settings: dict[str, Any], wanted: set[str], of: str, named: str) -> None:
    """Raise InputError where names are missing or unknown."""
    faults = [f"lack {key}" for key in sorted(wanted - set(settings))]
    faults += [f"have the unknown {key[:50]!r}" for key in sorted(set(settings) - wanted)]
    if faults:
        raise InputError(f"{named} do not fit {of}: they {', '.join(faults[:3])}")


def _stored_tensors(weights: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each tensor, by the file's header alone."""
    try:
        with safe_open(weights, "pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - it is no dictionary
            return {key: (tuple(part.get_shape()), str(part.get_dtype())) for key, part in slices.items()}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(f"weights {str(weights)!r} cannot be loaded: {one_line(error)}") from None


_DTYPE_NAMES = {
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What weights and buffers may be, as the file names it."""


def _compare(
    name: str, settings: dict[str, Any], named: str, stored: dict[str, tuple[tuple[int, ...], str]], weights: str
) -> None:
    """Raise InputError where weights of such shapes and dtypes are not those of the generator of such settings."""
    if settings.get("depth", 0) > len(stored):
        raise InputError(f"{named} do not fit the weights: depth {settings['depth']} with {len(stored)} tensors")
    with torch.device("meta"):  # sizes without memory
        wanted = _build_generator(name, settings, named).state_dict()
    for keys, fault in ((set(wanted) - set(stored), "lack"), (set(stored) - set(wanted), "hold the unknown")):
        if keys:
            raise InputError(f"{weights} {fault} {_shown(min(keys))}")
    for key, value in wanted.items():
        shape, dtype = stored[key]
        wanted_dtype = "F32" if value.is_floating_point() else _DTYPE_NAMES.get(value.dtype, str(value.dtype))
        if shape != tuple(value.shape):
            raise InputError(f"{weights}: {key} must have the shape {list(value.shape)}, got {list(shape)}")
        if dtype != wanted_dtype:
            raise InputError(f"{weights}: {key} must be {wanted_dtype}, got {dtype}")


def _shown(value: Any) -> str:
    """A value of a file that nobody vouches for, in a message."""
    return one_line(ValueError(repr(value)[:400]))
