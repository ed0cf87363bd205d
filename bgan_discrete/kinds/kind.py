"""What a kind of data is: the questions that training, generating and evaluating ask of it, each answered once.

    data -> load -> networks, start -> training -> samples -> save, write, nearest, evaluate

Everything else in the package is the same for images, text and arrays. A new kind is one subclass of `Kind`.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from bgan_discrete.checks import check_choice
from bgan_discrete.codecs import Codec
from bgan_discrete.config import DECODINGS, ScriptConfig
from bgan_discrete.errors import InputError
from bgan_discrete.game.conditional import Effort
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.metrics.figure import Evaluation, key_of
from bgan_discrete.metrics.judges import trees_judge
from bgan_discrete.metrics.likelihood import likelihood_figure
from bgan_discrete.metrics.verdict import Judge
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.publishing.card import Words
from bgan_discrete.reporting.rounds import DrawnRounds, lines_of_rounds
from bgan_discrete.sources.rules import Rule
from bgan_discrete.space import SampleSpace

ROUNDS = 4
"""In which masked generators draw, unless others are asked for."""

METRICS_SEED = 1
"""The seed of the samples that are evaluated; that of the samples that are shown is the run's own."""


@dataclass
class Samples:
    """Samples of a model.

    Attributes:
        codes: Integers ``[N, *event_shape]``.
        values: What they stand for: images, uint8 ``[N, H, W]`` or ``[N, H, W, 3]``; N strings; an array of integers
            ``[N, *event_shape]``; or a table, column name -> N values.
        labels: The class that each was drawn of, int64 ``[N]``; None of a model without classes.
        effort: What drawing them took, where something was asked of them.
        decode: What the bins of a table's numbers have become, see `Pipeline.generate`.
    """

    codes: np.ndarray
    values: Any
    labels: np.ndarray | None = None
    effort: Effort = dataclasses.field(default_factory=Effort)
    decode: str = "inside"

    def __len__(self) -> int:
        """N."""
        return len(self.codes)

    def pil(self) -> list[Image.Image]:
        """Samples of an image model as N pictures of Pillow, of mode L or RGB."""
        return [Image.fromarray(image) for image in self.values]


@dataclass(frozen=True)
class GivenCodes:
    """What samples are to have.

    Attributes:
        codes: Integers ``[L, *event_shape]``, of L different ones; K where samples are drawn.
        allowed: Number of a position -> bool ``[K]``, the codes that it may have where none is given.
        rules: What decoded samples must obey too.
        exact: Number of a column of a table -> L values that its codes do not tell, such as numbers in bins; None where
            the code says all.
        is_weighted: Whether the rest has to be drawn by weights (`bgan_discrete.game.conditional`).
    """

    codes: np.ndarray
    allowed: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    exact: Mapping[int, Sequence[Any]] = dataclasses.field(default_factory=dict)
    is_weighted: bool = False

    def rows_of(self, num_samples: int) -> np.ndarray:
        """Which one each sample is to have, ``[num_samples]``: they are shared evenly, in their order.

        Raises:
            InputError: If they are more than the samples.
        """
        if len(self.codes) > num_samples:
            raise InputError(f"given must be at most as many as num_samples = {num_samples}, got {len(self.codes)}")
        return np.arange(num_samples) * len(self.codes) // num_samples

    def shared(self, num_samples: int) -> "GivenCodes":
        """That of each sample, codes ``[num_samples, *event_shape]``; errors as in `rows_of`."""
        return self.taken(self.rows_of(num_samples))

    def taken(self, rows: np.ndarray) -> "GivenCodes":
        """Some of them, which may come more than once."""
        exact = {place: [values[row] for row in rows.tolist()] for place, values in self.exact.items()}
        return dataclasses.replace(self, codes=self.codes[rows], exact=exact)


class Kind(ABC):
    """A kind of data; one object of each kind answers for all runs, models and evaluations of it.

    Attributes:
        name: Of the kind, as ``--kind`` takes it.
        noun: What its samples are, in the plural, for messages.
        config_class: All options of its training.
        codec_class: Of its codecs; a model's codec says of which kind the model is.
        has_cache: Whether `load` keeps the codes; else the processes of a machine share those of the first one.
        suffix: Of the files that its samples are shown in: ``.png``, ``.txt`` or ``.csv``.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    config_class: ClassVar[type[ScriptConfig]]
    codec_class: ClassVar[type[Codec]]
    suffix: ClassVar[str]
    has_cache: ClassVar[bool] = False

    # 1. Data.

    @abstractmethod
    def load(self, config: Any, codec: Any = None, dataset: Any = None) -> Any:
        """Load and encode the data that a configuration names.

        Args:
            config: The section ``data`` of the kind's configuration.
            codec: A codec to encode with, such as that of a trained model; None to make the configuration's.
            dataset: Data in memory, in the place of ``config.dataset``; None for none.

        Returns:
            Codes of the training and held-out samples, their codec and what there is to say of them.

        Raises:
            InputError: If the data cannot be used.
        """

    @abstractmethod
    def check_counts(self, num_samples: int, data: Any) -> None:
        """Raise InputError if ``num_samples`` samples cannot be evaluated by the ``data``."""

    def classes(self, config: Any, data: Any) -> tuple[int, np.ndarray] | None:
        """Number of classes and labels of the ``data`` that a model of ``config`` learns; None for one without classes.

        Raises:
            InputError: If the configuration wants classes, and the data have no usable labels.
        """
        return None

    def warnings(self, config: Any, data: Any) -> list[str]:
        """What a user should know of the ``data`` before a training of ``config``, a line each."""
        return []

    # 2. Networks.

    @abstractmethod
    def networks(
        self, config: Any, space: SampleSpace, num_classes: int | None = None
    ) -> tuple[Generator, Discriminator]:
        """Generator and discriminator of a configuration, initialised from its seed.

        Args:
            config: All options.
            space: Of the data.
            num_classes: Classes of the labels that both are given; None for none.

        Returns:
            The generator and the discriminator.

        Raises:
            InputError: If a network cannot take data of this shape.
        """

    def check_networks(self, config: Any, data: Any) -> None:  # noqa: B027 - most kinds have nothing to check
        """Raise InputError if the networks of ``config`` do not suit the ``data``."""

    def algorithm(self, config: Any, space: SampleSpace) -> Any:
        """The algorithm of a configuration, with what is left open decided by the networks.

        Args:
            config: All options.
            space: Of the data.

        Returns:
            A `TrainingConfig`.
        """
        return dataclasses.replace(config.training, phases=config.phases)

    @abstractmethod
    def start(self, generator: Generator, config: Any, data: Any) -> None:
        """Give a new ``generator`` of ``config`` what it starts with, such as the frequencies of the ``data``."""

    # 3. Samples.

    def decoder(
        self, codec: Any, decode: str = "median", rng: np.random.Generator | None = None
    ) -> Callable[[np.ndarray], Any]:
        """What makes values of codes.

        Args:
            codec: Of the model.
            decode: Of the bins of a table's numbers: ``inside``, ``median`` or ``ranges``, see `Pipeline.generate`.
            rng: Dice of what is drawn inside; calls that follow one another go on with them, so that parts of samples
                become what they would be together.

        Returns:
            A function of codes ``[N, *event_shape]``.

        Raises:
            InputError: If there are no such bins.
        """
        check_choice("decode", decode, DECODINGS)
        if decode == "ranges":
            raise InputError(f"decode 'ranges' is for tables; the model is one of {self.noun}")
        decoding: Callable[[np.ndarray], Any] = codec.decode
        return decoding

    def completion(self, codec: Any, num_samples: int, rng: np.random.Generator) -> Callable[[Any, int], Any]:
        """What adds to decoded samples what is not learnt but new in each, such as the identifiers of a table's rows.

        Args:
            codec: Of the model.
            num_samples: That are drawn in all, perhaps in parts.
            rng: Dice.

        Returns:
            A function of the values of some samples and of the number of the first of them.

        Raises:
            InputError: If there are not as many new values.
        """
        return lambda values, first: values

    def given_codes(self, given: Any, codec: Any, space: SampleSpace) -> GivenCodes:
        """What samples are to have, in codes.

        Args:
            given: As a user gives it, in the values of the data, for all samples or for several; or, where the program
                takes that, as text or the name of a file.
            codec: Of the model.
            space: Of one sample.

        Returns:
            The codes, int64.

        Raises:
            InputError: If it has another form, or values that the codec does not know.
        """
        raise InputError(f"given is not for samples of kind {self.name}")

    def rules(self, constraints: Sequence[Any], codec: Any, training_codes: Callable[[], np.ndarray]) -> list[Rule]:
        """What every sample must obey.

        Args:
            constraints: Expressions, or functions of decoded samples.
            codec: Of the model.
            training_codes: Gives the codes of what the model was trained on.

        Returns:
            A rule for each.

        Raises:
            InputError: If one cannot be read, or names what there is not.
        """
        raise InputError(f"constraints are for tables; the model is one of {self.noun}")

    def proposals(self, data: Any) -> list[str]:
        """What the ``data`` suggest for drawing samples, a line each, after a training."""
        return []

    def to_show(self, generate: Callable[..., Samples], num_classes: int | None, seed: int) -> Samples:
        """The samples of a finished model that its run shows.

        Args:
            generate: `Pipeline.generate` of the model.
            num_classes: Of the model; None for a model without classes.
            seed: Of the samples.

        Returns:
            The samples.
        """
        return generate(100, seed=seed)

    @abstractmethod
    def save(self, samples: Samples, path: Path) -> np.ndarray | str:
        """Write ``samples`` to be looked at into the file ``path``, which ends in `suffix`.

        Returns:
            The same as a picture, uint8 ``[H, W, 3]`` or ``[H, W]``, or as text.
        """

    def lines(self, samples: Samples) -> list[str]:
        """The first samples as lines of text, for terminal and card; none where they are pictures."""
        return []

    @abstractmethod
    def check_output(self, output: Path | None, codec: Any) -> None:
        """Raise InputError if samples of a model with ``codec`` cannot be written into the file ``output``."""

    @abstractmethod
    def write(
        self,
        parts: Iterable[Samples],
        output: Path | None,
        num_samples: int,
        codec: Any,
        *,
        columns: int | None = None,
        decode: str = "inside",
    ) -> None:
        """Write samples, part by part, so that memory does not grow with their number.

        Args:
            parts: Of the samples.
            output: File or folder; its suffix chooses the format. None for stdout, where the kind is text.
            num_samples: Of all parts.
            codec: Of the model.
            columns: Images in a row of a grid; None for a good number.
            decode: By which the values of the parts were made; see `decoder`.
        """

    # 4. Figures.

    @abstractmethod
    def facts(self, samples: Samples, data: Any, picture: Path) -> Mapping[str, Any]:
        """What a report says of a run's samples and data: the nearest training samples, what is missing or unknown.

        Args:
            samples: From `to_show`.
            data: That the model was trained on.
            picture: A PNG to write, where neighbours are pictures.

        Returns:
            The facts, by their names.
        """

    def rounds(self, drawn: DrawnRounds, codec: Any, picture: Path) -> Mapping[str, Any]:
        """What a report shows of samples that are drawn in rounds: what is drawn when.

        Args:
            drawn: A few samples after each round.
            codec: Of the model.
            picture: A PNG to write, where the samples are pictures.

        Returns:
            The facts, by their names, of `bgan_discrete.reporting.rounds`; by default those of lines of codes.
        """
        return lines_of_rounds(drawn, "positions", lambda codes: " ".join(map(str, codes.tolist())), gap=" ")

    @abstractmethod
    def evaluate(
        self,
        pipeline: Any,
        data: Any,
        num_samples: int,
        seed: int = METRICS_SEED,
        *,
        resample: int = 1,
        rounds: int | None = None,
        **options: Any,
    ) -> Any:
        """Figures of a model's samples against held-out data, with their floors and baselines.

        Args:
            pipeline: The model.
            data: In the codes of the model's codec.
            num_samples: How many samples are drawn.
            seed: Of the samples.
            resample: See `Pipeline.generate`.
            rounds: See `Pipeline.generate`.
            **options: Of this kind alone.

        Raises:
            InputError: If data and model do not fit, or there are too few samples.
        """

    def judge(self, config: Any, data: Any) -> Judge:
        """What tells a training of ``config`` on the ``data`` how good its samples are; by default trees, of any codes.

        The training gives it samples, and rows that neither player has learnt from. Of ``data.codes``, from which those
        rows are taken, it may learn what does not depend on a few rows, such as scales.
        """
        return trees_judge(data.space)

    def remarks(self, report: Any, data: Any) -> list[str]:
        """What else is printed with the figures of a ``report`` on ``data``, a line each."""
        return []

    @abstractmethod
    def words(self, codec: Any) -> Words:
        """What a model card says of samples of this kind, whose model has this ``codec``."""

    def present(self, samples: Samples, like: Any = None, codec: Any = None) -> Any:
        """Samples in the form that data of this kind are given in: ``model.sample(16)`` returns this.

        Args:
            samples: Of a model.
            like: The data that the model was fitted on, if they were objects in memory.
            codec: Of the model.

        Returns:
            Images, texts, an array or a table.
        """
        return samples.values


def with_likelihood(
    report: Evaluation,
    generator: Generator,
    data: Any,
    rounds: int | None = None,
    resample: int = 1,
    markov_order: int | None = None,
) -> Evaluation:
    """An evaluation with the likelihood of held-out data too, where a generator without classes draws in rounds.

    The baseline of sequences is a Markov model of codes, where its order is given; of others a Chow-Liu tree.

    Samples that a discriminator has chosen follow another law, whose likelihood is not known.
    """
    if isinstance(generator, RoundsGenerator) and generator.num_classes is None and resample == 1:
        figure = likelihood_figure(generator, data.codes, data.heldout_codes, rounds, markov_order)
        report.figures[key_of(figure.title)] = figure
    return report


def in_rounds(model: Any, space: SampleSpace, order: str, rounds_of_masked: int = ROUNDS) -> dict[str, Any]:
    """The arguments ``rounds``, ``order`` and ``cut`` of a generator that draws in rounds.

    Args:
        model: The section ``model`` of a configuration.
        space: Of the data.
        order: Of this kind of data, where none is asked for.
        rounds_of_masked: Likewise of masked generators.

    Returns:
        The arguments by their names.
    """
    cut = model.cut if model.cut in ("halving", "equal") else [int(size) for size in model.cut.split(",")]
    of_kind = space.num_positions if model.generator == "causal" else min(rounds_of_masked, space.num_positions)
    of_kind = of_kind if isinstance(cut, str) else len(cut)
    rounds = {"auto": of_kind, "all": space.num_positions}.get(model.rounds, model.rounds)
    return {"rounds": rounds, "order": order if model.order == "auto" else model.order, "cut": cut}


def refuse_options(kind: str, options: Mapping[str, Any]) -> None:
    """Raise InputError for options of an evaluation that a kind does not know."""
    if options:
        raise InputError(f"{', '.join(options)}: no option of an evaluation of {kind}")


def check_file(output: Path, suffixes: Sequence[str]) -> None:
    """Raise InputError for an output that is not a file of one of these suffixes, in a folder that exists."""
    if suffixes and output.suffix.lower() not in suffixes:
        *most, last = suffixes
        raise InputError(f"output must end in {', '.join(most)} or {last}, got {str(output)!r}")
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"output must be a file in a folder that exists, got {str(output)!r}")
