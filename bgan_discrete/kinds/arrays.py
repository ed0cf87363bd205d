"""Integer arrays and tables: rows of columns, sequences of integers, levels on a plane."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgan_discrete.codecs import ArrayCodec, IntegersCodec, TableCodec
from bgan_discrete.codecs.columns import BinnedColumn
from bgan_discrete.codecs.identifiers import fresh_identifiers
from bgan_discrete.codecs.values import number_of
from bgan_discrete.config import IN_ROUNDS, ArrayAlgorithmConfig, ArrayDataConfig, ArrayTrainingConfig, split_holdout
from bgan_discrete.distributions.orders import ranks_by_information
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.durable import replace_text, replacing_file
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.kinds.constraints import proposed_constraints, rules_of_table
from bgan_discrete.kinds.given import codes_of_array, given_columns
from bgan_discrete.kinds.kind import (
    METRICS_SEED,
    GivenCodes,
    Kind,
    Samples,
    check_file,
    in_rounds,
    refuse_options,
    with_likelihood,
)
from bgan_discrete.kinds.sample_files import on_one_line, write_npz
from bgan_discrete.kinds.text import ABSENT_LOG_FREQUENCY, ESCORT, LOGIT_SPREAD
from bgan_discrete.metrics.arrays import check_row_counts, evaluate_array
from bgan_discrete.metrics.examples import figures_of_example
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.marginals import category_counts, log_frequencies
from bgan_discrete.metrics.table_rows import TableColumns, rows_of_codes
from bgan_discrete.metrics.tables import evaluate_table
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    CausalMLPGenerator,
    CausalTransformerGenerator,
    ConvDiscriminator,
    ConvGenerator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    MaskedMLPGenerator,
    MaskedTransformerGenerator,
    MLPDiscriminator,
    MLPGenerator,
    RoundsGenerator,
    set_logit_spread,
)
from bgan_discrete.publishing.card import Words
from bgan_discrete.reporting.neighbours import nearest_rows
from bgan_discrete.reporting.rounds import (
    DrawnRounds,
    columns_of_rounds,
    lines_of_rounds,
    picture_of_rounds,
    rgb_of_code,
)
from bgan_discrete.sources import ArrayData, load_array
from bgan_discrete.sources.column_settings import split_names
from bgan_discrete.sources.dtypes import frame_of
from bgan_discrete.sources.rules import Rule
from bgan_discrete.sources.table_files import TABLE_SUFFIXES, csv_cell, format_csv, write_npy, write_table_parts
from bgan_discrete.space import SampleSpace

SHOWN_ROWS = 10
MAX_ONE_BY_ONE, MANY_ROUNDS = 512, 256
"""Positions of samples that are drawn one after the other by default, and rounds of rows of more: a causal network
needs a unit of each layer for each round."""

ROW_SIZES, PLANE_SIZES = (256, 2), (96, 3)
"""Width and depth of generators, unless others are asked for; those of planes are Transformers."""

MAX_INFORMATION = 200
"""Positions of samples up to which the order goes by their mutual information, which is counted for all pairs."""

MAX_POSITION_WEIGHTS = 8_000_000
"""The discriminator ``positions`` is the default up to this many weights of its first layer, P (P K) W."""

ROUNDS_GENERATORS: dict[str, tuple[Callable[..., RoundsGenerator], Callable[..., RoundsGenerator]]] = {
    "masked": (MaskedMLPGenerator, MaskedTransformerGenerator),
    "causal": (CausalMLPGenerator, CausalTransformerGenerator),
}
"""Those of samples with one axis, such as rows, and those of planes."""


class Arrays(Kind):
    """Tables, and arrays of integers or characters."""

    name, noun, suffix = "arrays", "rows", ".csv"
    config_class = ArrayTrainingConfig
    codec_class = ArrayCodec

    def load(self, config: ArrayDataConfig, codec: ArrayCodec | None = None, dataset: Any = None) -> ArrayData:
        """Rows of columns, or arrays."""
        return load_array(
            config.dataset if dataset is None else dataset,
            layout=config.layout,
            columns=split_names(config.columns),
            drop=split_names(config.drop) or (),
            bins=config.bins,
            max_categories=config.max_categories,
            column=config.column,
            rare=config.rare,
            missing=split_names(config.missing) or (),
            delimiter=config.delimiter,
            header=config.header,
            limit=config.limit,
            **split_holdout(config.holdout),
            codec=codec,
        )

    def check_counts(self, num_samples: int, data: ArrayData) -> None:
        """Enough rows of each to judge by."""
        check_row_counts(num_samples, len(data.codes), len(data.heldout_codes))

    def networks(
        self, config: ArrayTrainingConfig, space: SampleSpace, num_classes: int | None = None
    ) -> tuple[Generator, Discriminator]:
        """Perceptrons, or convolutions along sequences or over planes."""
        config = _settled(config, space)
        model, alternatives = config.model, config.training.credit == "alternatives"
        discriminator_name = _discriminator_name(config, space)
        _check_shapes(config, discriminator_name, space)
        torch.manual_seed(config.training.seed)
        is_sequence, is_partial = len(space.event_shape) == 1, model.generator in IN_ROUNDS
        width, depth = PLANE_SIZES if is_partial and not is_sequence else ROW_SIZES
        sizes = (model.latent_size, model.generator_width or width, model.generator_depth or depth)
        generator: Generator
        if is_partial:
            own = {**in_rounds(model, space, _order(config, space)), "latent_kind": model.latent_kind}
            if _has_many_rounds(config, space):
                own["rounds"] = MANY_ROUNDS
            if model.generator == "causal" and is_sequence:
                sizes = (sizes[0], max(sizes[1], own["rounds"]), sizes[2])
            generator = ROUNDS_GENERATORS[model.generator][not is_sequence](space, *sizes, **own)
        elif model.generator == "mlp":
            generator = MLPGenerator(space, *sizes, model.latent_kind)
        elif is_sequence:
            generator = ConvSequenceGenerator(space, *sizes, model.latent_kind)
        else:
            generator = ConvGenerator(space, *sizes)
        widths = (model.discriminator_width, model.discriminator_depth)
        discriminator: Discriminator
        if discriminator_name == "mlp":
            discriminator = MLPDiscriminator(space, *widths, partial=is_partial)
        elif discriminator_name == "positions" or alternatives:
            network: Any = "mlp" if discriminator_name == "positions" else "conv"
            discriminator = AlternativesDiscriminator(
                space, *widths, "rest", network, model.log_ratio_bound, is_partial
            )
        elif is_sequence:
            discriminator = ConvSequenceDiscriminator(space, *widths, partial=is_partial)
        else:
            discriminator = ConvDiscriminator(space, *widths, partial=is_partial)
        return generator, discriminator

    def check_networks(self, config: ArrayTrainingConfig, data: ArrayData) -> None:
        """Convolutions need neighbours, which the columns of a table are not."""
        for part, name in (("generator", config.model.generator), ("discriminator", config.model.discriminator)):
            if name == "conv" and data.codec.column_names is not None:
                raise InputError(
                    f"{part} 'conv' needs neighbours along an array; the columns of a table have none: use mlp"
                )

    def algorithm(self, config: ArrayTrainingConfig, space: SampleSpace) -> ArrayAlgorithmConfig:
        """The algorithm with its `escort`: where none was asked for, `ESCORT` for alternatives of one-shot ones."""
        training: ArrayAlgorithmConfig = super().algorithm(config, space)
        if training.escort is not None or training.credit != "alternatives":
            return training
        return dataclasses.replace(training, escort=1.0 if _generator_name(config, space) in IN_ROUNDS else ESCORT)

    def start(self, generator: Generator, config: ArrayTrainingConfig, data: ArrayData) -> None:
        """Give the data's frequencies for an output bias, and the logits their spread over latents."""
        frequencies = torch.from_numpy(log_frequencies(data.codes, data.num_categories))
        frequencies[torch.from_numpy(category_counts(data.codes, data.num_categories) == 0)] = ABSENT_LOG_FREQUENCY
        generator.set_output_bias(frequencies)
        if isinstance(generator, RoundsGenerator):
            if generator.settings["order"] == "information":
                generator.set_order(ranks_by_information(data.codes, data.num_categories))
            return
        spread = config.model.logit_spread
        if spread is None and config.training.credit == "alternatives":
            spread = LOGIT_SPREAD
        if spread is not None:
            rng = torch.Generator().manual_seed(config.training.seed)
            set_logit_spread(generator, sample_latents(500, generator.latent_size, generator.latent_kind, rng), spread)

    def decoder(
        self, codec: ArrayCodec, decode: str = "median", rng: np.random.Generator | None = None
    ) -> Callable[[np.ndarray], Any]:
        """Bins are of tables."""
        if isinstance(codec, TableCodec) and decode in ("inside", "ranges"):
            return partial(codec.decode, ranges=decode == "ranges", rng=rng if decode == "inside" else None)
        return super().decoder(codec, decode, rng)

    def completion(self, codec: ArrayCodec, num_samples: int, rng: np.random.Generator) -> Callable[[Any, int], Any]:
        """Identifiers of the rows of a table."""
        if not isinstance(codec, TableCodec) or not codec.identifiers:
            return super().completion(codec, num_samples, rng)
        fresh = fresh_identifiers(codec.identifiers, num_samples, rng)
        return lambda table, first: codec.with_identifiers(table, fresh(first, len(next(iter(table.values())))))

    def given_codes(self, given: Any, codec: ArrayCodec, space: SampleSpace) -> GivenCodes:
        """Of some columns of a table, or some positions of arrays."""
        return (
            given_columns(given, codec) if isinstance(codec, TableCodec) else GivenCodes(codes_of_array(given, codec))
        )

    def rules(
        self, constraints: Sequence[Any], codec: ArrayCodec, training_codes: Callable[[], np.ndarray]
    ) -> list[Rule]:
        """Of the columns of a table."""
        if not isinstance(codec, TableCodec):
            return super().rules(constraints, codec, training_codes)
        return rules_of_table(constraints, codec, training_codes)

    def proposals(self, data: ArrayData) -> list[str]:
        """Constraints that keep the columns which others determine."""
        return proposed_constraints(data.codes, data.codec) if isinstance(data.codec, TableCodec) else []

    def save(self, samples: Samples, path: Path) -> str:
        """Rows as CSV."""
        text = rows_as_csv(samples.values)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
        return text

    def lines(self, samples: Samples) -> list[str]:
        """The names of the columns and the first rows."""
        return rows_as_csv(samples.values).splitlines()[: SHOWN_ROWS + 1]

    def check_output(self, output: Path | None, codec: ArrayCodec) -> None:
        """A table, an array or an archive."""
        if output is None:
            raise InputError("output must be a file such as samples.csv for samples of arrays or tables, got none")
        of_table = (*TABLE_SUFFIXES, ".npy", ".npz")
        check_file(output, of_table if isinstance(codec, TableCodec) else (".npy", ".csv", ".npz"))

    def write(
        self,
        parts: Iterable[Samples],
        output: Path | None,
        num_samples: int,
        codec: ArrayCodec,
        *,
        columns: int | None = None,
        decode: str = "inside",
    ) -> None:
        """Of a table .csv, .tsv, .parquet, or .npy with named fields; of an array .npy, or .csv; of either .npz."""
        assert output is not None
        suffix = output.suffix.lower()
        with replacing_file(output) as file:
            if suffix == ".npz" and isinstance(codec, TableCodec):
                write_npz(file, parts, num_samples, {}, columns=np.array(codec.column_names))
            elif suffix == ".npz":
                write_npz(file, parts, num_samples, {"rows": codec.decode})
            elif isinstance(codec, TableCodec):
                possible: Mapping[str, Sequence[Any]] = {one.name: one.possible(decode) for one in codec.columns}
                ends = {one.name: one.ends(num_samples) for one in codec.identifiers}
                possible = codec.with_identifiers(possible, ends)
                tables = (part.values for part in parts)
                write_table_parts(file, suffix, tables, num_samples, possible, _dtypes(codec, decode))
            elif suffix == ".npy":
                write_npy(file, (part.values for part in parts), num_samples)
            else:
                for part in parts:
                    file.write(rows_as_csv(part.values).encode())

    def facts(self, samples: Samples, data: ArrayData, picture: Path) -> dict[str, Any]:
        """Nearest training rows."""

        def lines(codes: np.ndarray) -> list[str]:
            return [_row_as_line(data.codec.decode(codes[place : place + 1])) for place in range(len(codes))]

        return {"neighbours": nearest_rows(samples.codes, data.codes, lines)}

    def rounds(self, drawn: DrawnRounds, codec: ArrayCodec, picture: Path) -> Mapping[str, Any]:
        """The columns of a table by rounds, arrays of two axes as pictures, others as lines."""
        if isinstance(codec, TableCodec):
            names = codec.category_names()
            values = [names[place][code] for place, code in enumerate(drawn.stages[-1, 0])]
            return columns_of_rounds(drawn, [column.name for column in codec.columns], values)
        if not isinstance(codec, IntegersCodec):
            return super().rounds(drawn, codec, picture)
        symbols = codec.values or range(codec.low, codec.low + codec.num_categories)
        names_of_codes = [on_one_line(str(symbol)) for symbol in symbols]
        if drawn.rounds.ndim == 2:
            colours = np.array([rgb_of_code(code, len(symbols)) for code in range(len(symbols))], np.uint8)
            return picture_of_rounds(drawn, "positions", lambda codes: colours[codes], picture, names_of_codes)
        gap = "" if isinstance(symbols[0], str) else " "
        return lines_of_rounds(
            drawn, "positions", lambda codes: gap.join(names_of_codes[code] for code in codes), gap=gap
        )

    def evaluate(
        self,
        pipeline: Any,
        data: ArrayData,
        num_samples: int,
        seed: int = METRICS_SEED,
        *,
        resample: int = 1,
        rounds: int | None = None,
        **options: Any,
    ) -> Evaluation:
        """Distances of columns and pairs of columns, a fresh critic; of tables also what only these have.

        ``targets`` are the names of columns of a table that models learn to predict, with commas between them.
        """
        targets = split_names(options.pop("targets", None))
        refuse_options(self.name, options)
        if targets is not None and not isinstance(data.codec, TableCodec):
            raise InputError(f"targets are columns of a table, and the model is one of arrays; got {targets}")
        self.check_counts(num_samples, data)
        draw = partial(pipeline.generate, num_samples, seed=seed, resample=resample, rounds=rounds)
        if isinstance(data.codec, TableCodec):
            numbers = numbers_of_codes(data.codec)
            columns = columns_of_codec(data.codec, [known is not None for known in numbers])
            for name in targets or ():
                columns.place_of(name)
            sides = [rows_of_codes(codes, numbers) for codes in (draw().codes, data.codes, data.heldout_codes)]
            extra = figures_of_example(data)
            report = evaluate_table(sides[0], sides[1], sides[2], columns, data.space, targets=targets, extra=extra)
        else:
            is_sequence = isinstance(pipeline.generator, ConvSequenceGenerator)
            report = evaluate_array(
                draw().codes,
                data.codes,
                data.heldout_codes,
                data.space,
                column_names=data.codec.column_names,
                neighbours=is_sequence,
                extra=figures_of_example(data),
            )
        return with_likelihood(report, pipeline.generator, data, rounds, resample)

    def words(self, codec: ArrayCodec) -> Words:
        """Without a task, of which the Hub has none for rows."""
        if codec.column_names is not None:
            return Words("rows of a table", "rows", tags=("tabular",))
        return Words("integer arrays", "rows", tags=("array",))

    def present(self, samples: Samples, like: Any = None, codec: Any = None) -> Any:
        """A data frame for a table, or columns where columns were given; else an array of integers or characters.

        The columns of the frame have the types that they had in the training data, where these had some.
        """
        if not isinstance(samples.values, Mapping) or isinstance(like, Mapping):
            return samples.values
        return frame_of(samples.values, _dtypes(codec, samples.decode) if isinstance(codec, TableCodec) else {})


def _dtypes(codec: TableCodec, decode: str) -> dict[str, Any]:
    """The types of columns of samples: those of the data frame, but text where bins are written as ranges."""
    ranges = {one.name for one in codec.columns if isinstance(one, BinnedColumn)} if decode == "ranges" else {}
    return {name: dtype for name, dtype in codec.dtypes.items() if name not in ranges}


def numbers_of_codes(codec: TableCodec) -> list[list[float] | None]:
    """Of each column the number that each code stands for, NaN for a missing one; None where values are no numbers."""
    found: list[list[float] | None] = []
    for column in codec.columns:
        values = column.decode(np.arange(column.size))
        numbers = [np.nan if value is None else number_of(value) for value in values]
        is_number = any(number == number for number in numbers) and None not in numbers  # noqa: PLR0124 - NaN
        found.append([float(number) for number in numbers if number is not None] if is_number else None)
    return found


def columns_of_codec(codec: TableCodec, is_number: Sequence[bool], as_written: bool = False) -> TableColumns:
    """What the columns of a codec are, for the figures of tables."""
    names = tuple(tuple(of_column) for of_column in codec.category_names())
    return TableColumns(tuple(column.name for column in codec.columns), names, tuple(is_number), as_written)


def _generator_name(config: ArrayTrainingConfig, space: SampleSpace) -> str:
    model = config.model
    if model.generator != "auto":
        return model.generator
    is_row = len(space.event_shape) == 1
    return "causal" if model.asks_for_rounds or is_row or space.num_positions <= MAX_ONE_BY_ONE else "mlp"


def _has_many_rounds(config: ArrayTrainingConfig, space: SampleSpace) -> bool:
    """Whether a causal generator of long rows draws several positions a round, since nothing else is asked for."""
    model = config.model
    is_free = model.rounds == "auto" and model.cut in ("halving", "equal")
    is_long = len(space.event_shape) == 1 and space.num_positions > MAX_ONE_BY_ONE
    return model.generator == "causal" and is_free and is_long


def _settled(config: ArrayTrainingConfig, space: SampleSpace) -> ArrayTrainingConfig:
    """The configuration with the generator's name."""
    name: Any = _generator_name(config, space)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, generator=name))


def _discriminator_name(config: ArrayTrainingConfig, space: SampleSpace) -> str:
    model = config.model
    if model.discriminator != "auto":
        return model.discriminator
    if model.generator == "conv":
        return "conv"
    weights = space.num_positions**2 * space.num_categories * model.discriminator_width
    is_small = len(space.event_shape) == 1 and weights <= MAX_POSITION_WEIGHTS
    return "positions" if config.training.credit == "alternatives" and is_small else "mlp"


def _order(config: ArrayTrainingConfig, space: SampleSpace) -> str:
    """In which order positions are drawn unless another is asked for."""
    if len(space.event_shape) > 1 and min(space.event_shape[-2:]) > 1:
        return "coarse_to_fine" if config.model.generator == "masked" else "left_to_right"
    if space.num_positions <= MAX_INFORMATION:
        return "information"
    # Positions of one round are to be far apart.
    is_spread = config.model.generator == "masked" or _has_many_rounds(config, space)
    return "interleaved" if is_spread else "left_to_right"


def _check_shapes(config: ArrayTrainingConfig, discriminator_name: str, space: SampleSpace) -> None:
    """Raise InputError where a network does not take samples of this shape."""
    shape, model = space.event_shape, config.model
    for part, name in (("generator", model.generator), ("discriminator", discriminator_name)):
        if name == "conv" and len(shape) != 1 and (len(shape) > 3 or min(shape[-2:]) < 8):
            raise InputError(
                f"{part} 'conv' takes sequences, or planes of at least 8 x 8, got samples {shape}: use mlp"
            )
    if discriminator_name == "positions" and len(shape) != 1:
        raise InputError(f"discriminator 'positions' takes samples of one axis, got {shape}: use mlp")
    if discriminator_name == "conv" and config.training.credit == "alternatives" and len(shape) != 1:
        raise InputError(
            "credit 'alternatives' has no convolutions over planes: give --credit sample --estimator bgan_centered "
            "--num-draws 20, or --discriminator mlp"
        )
    if model.generator == "conv" and len(shape) != 1 and model.latent_kind != "normal":
        raise InputError(f"latent_kind must be 'normal' for convolutions over planes, got {model.latent_kind!r}")


def rows_as_csv(rows: Any) -> str:
    """Rows as text: a table with its column names, an array with the integers or characters of a sample in one line."""
    if isinstance(rows, Mapping):
        return format_csv(rows)
    return "".join(",".join(map(csv_cell, row)) + "\n" for row in np.asarray(rows).reshape(len(rows), -1).tolist())


def _row_as_line(row: Any) -> str:
    """A single row as a line of CSV without the names of its columns."""
    names = format_csv({name: [] for name in row}) if isinstance(row, Mapping) else ""
    return rows_as_csv(row).removeprefix(names).removesuffix("\n")
