"""A trained generator with its codec: draws samples, is saved, loaded, evaluated and uploaded."""

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import Self

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.config import TargetConfig, folder_of_run, load_config_values
from bgan_discrete.devices import resolve_device
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator, check_players
from bgan_discrete.game.resampling import Resampler
from bgan_discrete.game.targets import Target
from bgan_discrete.kinds.aims import Aims
from bgan_discrete.kinds.kind import METRICS_SEED, GivenCodes, Kind, Samples
from bgan_discrete.kinds.registry import kind_of_codec
from bgan_discrete.models.drawing import Drawing
from bgan_discrete.models.format import FORMAT, MODEL_FILES, read_model
from bgan_discrete.models.obeying import rule_of_verifier, rules_to_check
from bgan_discrete.models.sampling import (
    COMPLETED,
    beginning,
    change_of,
    check_in_rounds,
    class_numbers,
    decoding_rng,
    needs_weights,
    prompt_of,
)
from bgan_discrete.models.saving import save_model
from bgan_discrete.nn import ContinuousConvGenerator
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.publishing.card import (
    CARD_FILE,
    PICTURE_FILE,
)
from bgan_discrete.publishing.hub import find_model, names_hub_model, push_folder
from bgan_discrete.reporting.page import write_report_page
from bgan_discrete.run_folder import RunFolder
from bgan_discrete.sources.rules import Rule
from bgan_discrete.training.labels import labels_of_samples

_log = logging.getLogger(__name__)


class Pipeline:
    """A trained model of any kind of data: a generator with the codec of its data.

    `bgan_discrete.fit` returns one, and `bgan_discrete.load` reads one that was saved.

    Args:
        generator: The generator.
        codec: The codec of the data that it was trained on.
        device: Where it runs; see `bgan_discrete.devices.resolve_device`.
        discriminator: What weighs draws if `generate` is asked to resample; None where nothing does. It is not saved
            with the model.

    Attributes:
        kind: Of the data, by the codec: a `bgan_discrete.kinds.kind.Kind`.
        data: What it was fitted on; None of a model that was loaded.

    Raises:
        InputError: If the codec belongs to no kind of data, the generator's samples are not of its space, a network is
            none, or the discriminator's samples have other categories or another end.
    """

    kind: Kind

    def __init__(
        self, generator: Generator, codec: Any, device: str = "cpu", discriminator: Discriminator | None = None
    ) -> None:
        check_players(generator, discriminator)
        self.kind = kind_of_codec(codec)
        space = codec.space_of(generator.space.event_shape, generator.space.class_names)
        if generator.space.scales is None:  # a generator need not know of them
            space = replace(space, scales=None)
        if (difference := generator.space.difference(space)) is not None:
            raise InputError(f"generator and codec must be of the same space, got {difference}")
        if discriminator is not None and not isinstance(generator, ContinuousConvGenerator):
            # Whose numbers are read as a scale, and how classes are called, a discriminator need not know.
            ignored: dict[str, Any] = {"ordered": False, "class_names": None, "scales": None}
            if isinstance(generator, RoundsGenerator):  # there padding is a category like the others
                ignored["end_id"] = None
            ours, theirs = (replace(x.space, **ignored) for x in (generator, discriminator))
            if (difference := ours.difference(theirs)) is not None:
                raise InputError(f"generator and discriminator must be of the same space, got {difference}")
        self.device = resolve_device(device)
        self.generator = generator.to(self.device).eval()
        self.codec = codec
        self.discriminator = None if discriminator is None else discriminator.to(self.device).eval()
        self.data: Any = None
        self._origin: Path | None = None
        self._like: Any = None
        self._scratch: Any = None

    def remember(self, folder: Path, data: Any, like: Any = None, scratch: Any = None) -> None:
        """Know the run that trained the model.

        Args:
            folder: Where the run saved it.
            data: What it was fitted on.
            like: The same as it was given, if in memory.
            scratch: A temporary folder of the run, to be deleted with the model.
        """
        self._origin, self.data, self._like, self._scratch = folder, data, like, scratch

    @property
    def num_classes(self) -> int | None:
        """Classes that samples can be asked of; None of a model that was trained without labels."""
        return self.generator.num_classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Of the classes, in their order; None where they have numbers alone."""
        return None if self.num_classes is None else self.generator.space.class_names

    def __repr__(self) -> str:
        """Kind, generator, codec and device."""
        name = type(self.generator).__name__
        return f"<Pipeline of {self.kind.name}: {name}, {self.codec.describe()}, on {self.device}>"

    def sample(self, num_samples: int, seed: int = 0, **options: Any) -> Any:
        """Draw samples, in the form of the data.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same samples on the same machine.
            **options: As in `generate`.

        Returns:
            Pictures of Pillow; strings; a data frame; an array, where the model was fitted on an array.

        Raises:
            InputError: As in `generate`.
        """
        samples = self.generate(num_samples, seed, **options)
        for line in samples.effort.lines():
            _log.warning("%s", line)
        return self.kind.present(samples, self._like, self.codec)

    def generate(
        self,
        num_samples: int,
        seed: int | torch.Generator = 0,
        batch_size: int = 1000,
        *,
        labels: Sequence[int | str] | np.ndarray | int | str | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prompt: str = "",
        given: Any = None,
        constraints: Sequence[str | Callable[..., Any] | Rule] = (),
        verifier: str | Callable[..., Any] | None = None,
        reward: str | Callable[..., Any] | Target | None = None,
        rounds: int | None = None,
        decode: str | Callable[[np.ndarray], Any] = "inside",
        resample: int = 1,
    ) -> Samples:
        """Draw samples with their codes: one latent each, and one draw of its categories.

        Args:
            num_samples: How many, >= 1.
            seed: Of latents and draws: the same seed gives the same codes on the same machine. Or their source.
            batch_size: How many at once; the samples depend on it.
            labels: The classes to draw, of a model with classes: L <= ``num_samples`` numbers or names, among which the
                samples are shared evenly: sample i has ``labels[i * L // num_samples]``. All classes once if None.
            temperature: Divides the logits, > 0; below 1 the most probable categories are drawn more often.
            top_k: Draw only from the so many most probable categories of a position; None for all.
            top_p: Draw only from the most probable categories that have this share of the probability, in (0, 1].
            prompt: What every sample begins with; of generators of text that are autoregressive or draw in rounds.
            given: What samples are to have, while the rest is drawn by the model's conditional law; of generators that
                draw in rounds. For a table some columns, in which missing cells are drawn, or conditions such as
                ``"sex=Female,age>=40,job in (farm, none)"``; for arrays an array with -1 where it is drawn; for
                images pictures whose transparent pixels are drawn; for text a list of tokens, None where they are
                drawn. L <= ``num_samples`` different ones are shared among the samples as labels are. Where it does
                not come first in a causal generator's order, see `bgan_discrete.game.conditional`.
            constraints: What each row of a table must obey: expressions such as ``"end >= start"`` or
                ``"combinations(city, country)"`` (`bgan_discrete.sources.rules`), or functions of a dictionary of
                columns (arrays of N values) that give N booleans. Rows that break one are drawn anew.
            verifier: Says which samples are valid, as of `bgan_discrete.fit`; others are drawn anew, and counted.
            reward: With ``resample``: what draws are weighed by besides the discriminator, if there is one: a function
                as of `bgan_discrete.fit`, by ``e^r``; or a `bgan_discrete.Target`.
            rounds: Draw in so many rounds rather than those of the training; of masked generators.
            decode: What bins of a table's numbers become: ``inside`` a number drawn inside, as the training data are
                distributed there, and of categories that were learnt as one any of them; ``median`` the same number for
                each bin; ``ranges`` text such as ``[10, 25)``. Or a function of codes, from `Kind.decoder`; then
                nothing is added to what it gives, as are otherwise new identifiers (`Kind.completion`).
            resample: Draw so many samples for each that is kept, one of them by its importance weight under the
                pipeline's discriminator (`bgan_discrete.game.resampling.Resampler`).

        Returns:
            Codes, what they stand for, their labels, and what drawing them took.

        Raises:
            InputError: If a number is out of its range, or an option is not for such a model or not known to it; if
                what is given cannot be, or the constraints refuse nearly every row.
        """
        check_at_least_one(batch_size=batch_size, num_samples=num_samples, resample=resample)
        mode, complete = "inside" if callable(decode) else decode, None
        if not callable(decode):
            complete = self.kind.completion(self.codec, num_samples, decoding_rng(seed, COMPLETED))
            decode = self.kind.decoder(self.codec, decode, decoding_rng(seed))
        of_samples = labels_of_samples(class_numbers(self.generator, labels), num_samples, self.num_classes)
        change = change_of(self.generator, temperature, top_k, top_p, rounds)
        resampler = self._resampler(resample, reward)
        start, asked = self._asked(prompt, given, num_samples)
        rules = rules_to_check(self.rules(constraints, verifier), () if asked is None else asked.rules, mode)
        if asked is not None and asked.is_weighted and resampler is not None:
            raise InputError(
                f"resample must be 1 where what is given does not come first in the order of a causal generator, or "
                f"is one of several values, got {resample}"
            )
        rng = seed if isinstance(seed, torch.Generator) else torch.Generator(self.device).manual_seed(seed)
        of_columns = {} if asked is None or mode == "ranges" else asked.exact
        exact = {self.codec.column_names[place]: values for place, values in of_columns.items()}
        drawing = Drawing(
            self.generator, decode, rng, self.device, batch_size, change, resampler, start, of_samples, asked, exact
        )
        codes, values = drawing.samples(num_samples, rules)
        return Samples(codes, values if complete is None else complete(values, 0), of_samples, drawing.effort, mode)

    def _asked(self, prompt: str, given: Any, num_samples: int) -> tuple[torch.Tensor | None, GivenCodes | None]:
        """The codes of a prompt, and what samples in rounds are to have, by a prompt too, for each of them."""
        start = prompt_of(self.generator, self.codec, prompt)
        if given is not None and start is not None:
            raise InputError("prompt and given exclude each other: put the beginning into given")
        if start is not None and isinstance(self.generator, RoundsGenerator):
            given, start = GivenCodes(beginning(start, self.generator.space, 1).numpy()), None
            given = replace(given, is_weighted=needs_weights(self.generator, given))
        return start, None if given is None else self.given_codes(given).shared(num_samples)

    def rules(
        self,
        constraints: Sequence[str | Callable[..., Any] | Rule],
        verifier: str | Callable[..., Any] | None = None,
    ) -> list[Rule]:
        """The rules of constraints and of a verifier, so that many calls of `generate` need not read them again.

        Args:
            constraints: As in `generate`.
            verifier: As in `generate`.

        Returns:
            What `generate` takes as ``constraints`` too.

        Raises:
            InputError: If one cannot be read, or constraints are for a model that is none of tables.
        """
        if verifier is not None:
            return [*self.rules(constraints), rule_of_verifier(verifier)]
        if isinstance(constraints, str) or callable(constraints):
            constraints = [constraints]
        if all(isinstance(rule, Rule) for rule in constraints):
            return [rule for rule in constraints if isinstance(rule, Rule)]
        return self.kind.rules(constraints, self.codec, self._training_codes)

    def _training_codes(self) -> np.ndarray:
        """The codes of what the model was trained on, also by the run in whose folder it is."""
        data = self.data
        if data is None:
            run = None if self._origin is None else RunFolder(folder_of_run(self._origin))
            if run is None or not run.config.is_file():
                raise InputError(
                    "combinations of the training data are known to a model in the folder of its run; else name a "
                    "file of rows: combinations(city, country, 'rows.csv')"
                )
            config: Any = self.kind.config_class.from_flat(load_config_values(run.config))
            data = self.kind.load(config.data, self.codec)
        codes: np.ndarray = data.codes
        return codes

    def given_codes(self, given: Any) -> GivenCodes:
        """What samples are to have, in codes, so that many calls of `generate` need not read it again.

        Args:
            given: As in `generate`.

        Returns:
            What `generate` takes as ``given`` too.

        Raises:
            InputError: If the generator does not draw in rounds, or the values are not those of its data.
        """
        if isinstance(given, GivenCodes):
            return given
        check_in_rounds(self.generator, "given")
        found = self.kind.given_codes(given, self.codec, self.generator.space)
        return replace(found, is_weighted=needs_weights(self.generator, found))

    def _resampler(self, resample: int, reward: str | Callable[..., Any] | Target | None = None) -> Resampler | None:
        if resample == 1:
            if reward is not None:
                raise InputError("reward needs resample above 1: so many draws, of which one is kept, got 1")
            return None
        if self.discriminator is None and reward is None:
            raise InputError(
                f"resample {resample} needs a discriminator to weigh the draws by: give the pipeline one, as "
                "Pipeline(..., discriminator=...) or pipeline.discriminator = ..."
            )
        if reward is not None and not isinstance(reward, Target):
            reward = Aims(self.kind, self.codec, TargetConfig(), reward=reward).target("additive")
        return Resampler(self.discriminator, resample, reward)

    def evaluate(
        self,
        data: Any = None,
        num_samples: int | None = None,
        *,
        seed: int = METRICS_SEED,
        resample: int = 1,
        **options: Any,
    ) -> Any:
        """Compare samples with held-out data.

        Args:
            data: What the training scripts take as ``dataset``, or objects in memory; they are encoded by the model's
                codec. None for the data that the model was fitted on.
            num_samples: How many samples are drawn; None for the default of the kind.
            seed: Of the samples.
            resample: See `generate`.
            **options: Options of the data, such as ``holdout`` or ``limit``, and those of `Kind.evaluate`.

        Returns:
            The figures, with floors and baselines.

        Raises:
            InputError: If the data cannot be used, or there are none.
        """
        config: Any = self.kind.config_class()
        section = config.data
        names = {field.name for field in fields(section)}
        of_data = {name: options.pop(name) for name in list(options) if name in names}
        if data is None:
            if self.data is None:
                raise InputError("data must be given to evaluate a model that was loaded: a path, a name or an array")
            if of_data:
                raise InputError(f"{', '.join(of_data)}: options of data, and no data are given")
            data = self.data
        else:
            is_named = isinstance(data, (str, os.PathLike))
            section = replace(section, **of_data, **({"dataset": os.fspath(data)} if is_named else {}))
            section.check()
            data = self.kind.load(section, self.codec, None if is_named else data)
        count = config.run.num_samples if num_samples is None else num_samples
        check_at_least_one(num_samples=count)
        return self.kind.evaluate(self, data, count, seed, resample=resample, **options)

    def report(self, output: str | Path | None = None) -> Path:
        """Write the report of the run that trained the model, as one HTML page.

        Args:
            output: The file; None for ``report.html`` in the folder of the run.

        Returns:
            The file.

        Raises:
            InputError: If the model is not in the folder of a run.
            StorageError: If the file cannot be written.
        """
        run = None if self._origin is None else RunFolder(folder_of_run(self._origin))
        if run is None or not run.config.is_file():
            raise InputError("report needs the folder of the run that trained the model: load its 'model' folder there")
        return write_report_page(run.root, output)

    def save(self, folder: str | Path, *, repo_id: str | None = None) -> None:
        """Write weights (safetensors), configuration, codec and a manifest of the three into a folder, with a card.

        The card is ``README.md`` (with ``sample.png``, where it shows one). A model that was loaded and not changed
        keeps the card that was with it; a card that somebody wrote or edited in ``folder`` stays. That it cannot be
        written is a warning.

        Args:
            folder: Created if missing. The files of an earlier model in it are replaced, with their permissions kept,
                and all others stay. A crash in between leaves the earlier model, this one, or a folder that `load`
                refuses.
            repo_id: ``owner/name`` on the Hub, to be named in the card; nothing is uploaded.

        Raises:
            InputError: If ``repo_id`` is none, the generator cannot be saved
                (`bgan_discrete.models.format.model_content`), or ``folder`` holds the model of another package.
                Nothing has been written then.
            StorageError: If the folder or a file in it cannot be written.
        """
        save_model(Path(folder), repo_id, self.kind, self.generator, self.codec, self._origin)

    save_pretrained = save

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
        """Upload what `save` writes, and nothing else, to the Hugging Face Hub.

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
                `save` can write, or a repository that is to be private exists and is public.
        """
        with tempfile.TemporaryDirectory(prefix="bgan-") as scratch:
            folder = Path(scratch)
            self.save(folder, repo_id=repo_id)
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

    @classmethod
    def from_pretrained(
        cls,
        model: "str | os.PathLike[str]",
        device: str = "cpu",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> Self:
        """Load what `save` wrote; strict, and nothing in the folder is executed.

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
                changed or is of another format, or if the weights do not fit the configuration in name, shape or
                dtype. Nothing is used of a folder that is not as its manifest says.
        """
        pipeline = cls(*read_model(find_model(model, FORMAT, revision, token)), device)
        if not names_hub_model(model):
            pipeline._origin = Path(model)
        return pipeline


def load(
    model: "str | os.PathLike[str]",
    device: str = "cpu",
    *,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Pipeline:
    """Load a trained model of any kind; arguments and errors as in `Pipeline.from_pretrained`.

    Args:
        model: The model's folder, or its id on the Hugging Face Hub.
        device: Where it will run.
        revision: Branch, tag or commit on the Hub; None for its main branch.
        token: For a private model.

    Returns:
        The pipeline.
    """
    return Pipeline.from_pretrained(model, device, revision=revision, token=token)
