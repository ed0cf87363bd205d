"""Text: characters or SentencePiece tokens, drawn at once or one after the other."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bgan_discrete.codecs import CharacterCodec, TextCodec, TextCodecOptions
from bgan_discrete.config import (
    IN_ROUNDS,
    TextAlgorithmConfig,
    TextDataConfig,
    TextTrainingConfig,
    split_holdout,
    split_revision,
)
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.durable import replace_text, replacing_file
from bgan_discrete.errors import InputError
from bgan_discrete.game.players import Discriminator, Generator
from bgan_discrete.kinds.given import codes_of_tokens
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
from bgan_discrete.kinds.sample_files import on_one_line
from bgan_discrete.metrics.figure import Evaluation
from bgan_discrete.metrics.judges import text_judge
from bgan_discrete.metrics.marginals import category_counts, log_frequencies
from bgan_discrete.metrics.text import PERPLEXITY_ORDER, WGAN_GP_SAMPLES, evaluate_text, wgan_gp_divergences
from bgan_discrete.metrics.verdict import Judge
from bgan_discrete.nn import (
    AlternativesDiscriminator,
    CausalTransformerGenerator,
    ConvSequenceDiscriminator,
    ConvSequenceGenerator,
    GRUDiscriminator,
    GRUGenerator,
    MaskedTransformerGenerator,
    MLPSequenceGenerator,
    TransformerGenerator,
    set_logit_spread,
)
from bgan_discrete.publishing.card import Words
from bgan_discrete.reporting.neighbours import nearest_texts
from bgan_discrete.reporting.rounds import DrawnRounds, lines_of_rounds
from bgan_discrete.sources import TextData, load_text
from bgan_discrete.sources.arithmetic import equations
from bgan_discrete.space import SampleSpace
from bgan_discrete.streams import write_product

SHOWN_LINES = 20
ABSENT_LOG_FREQUENCY = -30.0
"""Where a generator's output bias starts for a token that the training data never hold, such as the unknown one.

A discriminator has seen it on neither side and may think well of it at first; Adam would follow at its full rate,
however small the gradient. At this bias the gradient is lost in Adam's epsilon, and the token is never drawn.
"""
ESCORT = 0.5
"""Exponent of the choices of a generator of independent positions, unless another is asked for."""

LOGIT_SPREAD = 1.0
"""Standard deviation over latents that one-shot generators start with where credit goes by alternatives."""

MAX_EVALUATED_TEXTS = 200_000
"""Samples are evaluated by at most this many texts of a part of the data, evenly spaced; the report says how many."""

TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)

GRU_SIZES, OTHER_SIZES = (256, 1), (128, 3)
"""Width and depth of generators, unless others are asked for."""

GENERATORS: dict[str, Callable[..., Generator]] = {
    "conv": ConvSequenceGenerator,
    "mlp": MLPSequenceGenerator,
    "gru": GRUGenerator,
    "transformer": TransformerGenerator,
    "masked": MaskedTransformerGenerator,
    "causal": CausalTransformerGenerator,
}
DISCRIMINATORS = {"conv": ConvSequenceDiscriminator, "gru": GRUDiscriminator}


class Text(Kind):
    """Lines, paragraphs or windows of text."""

    name, noun, suffix = "text", "texts", ".txt"
    config_class = TextTrainingConfig
    codec_class = TextCodec

    def load(self, config: TextDataConfig, codec: TextCodec | None = None, dataset: Any = None) -> TextData:
        """Texts in tokens."""
        has_file = config.tokenizer.endswith(".model")
        options = codec or TextCodecOptions(
            tokenizer="sentencepiece" if has_file else config.tokenizer,
            length=config.length,
            ends=config.layout == "pad",
            vocabulary_size=config.vocabulary_size,
            model_file=config.tokenizer if has_file else None,
        )
        name, revision = split_revision(config.dataset)
        return load_text(
            name if dataset is None else dataset,
            column=config.column,
            split=config.split,
            unit=config.unit,
            layout=config.layout if codec is None else ("pad" if codec.ends else "window"),
            limit=config.limit,
            streaming=config.streaming,
            **split_holdout(config.holdout),
            codec=options,
            revision=revision,
        )

    def check_counts(self, num_samples: int, data: TextData) -> None:
        """At least two samples."""
        if num_samples < 2:
            raise InputError(f"num_samples must be 0 (no metrics) or at least 2, got {num_samples}")

    def networks(
        self, config: TextTrainingConfig, space: SampleSpace, num_classes: int | None = None
    ) -> tuple[Generator, Discriminator]:
        """One-shot or autoregressive generator, and a discriminator of the credit's scores."""
        model, credit, is_partial = config.model, config.training.credit, config.model.generator in IN_ROUNDS
        torch.manual_seed(config.training.seed)
        own = {"latent_kind": model.latent_kind}
        if is_partial:
            order = "interleaved" if model.generator == "masked" else "left_to_right"
            own |= in_rounds(model, space, order)
        width, depth = GRU_SIZES if model.generator == "gru" else OTHER_SIZES
        generator = GENERATORS[model.generator](
            space, model.latent_size, model.generator_width or width, model.generator_depth or depth, **own
        )
        sizes = (model.discriminator_width, model.discriminator_depth)
        read = dataclasses.replace(space, end_id=None) if is_partial else space  # there padding is a token like others
        discriminator: Discriminator
        if credit == "alternatives":
            context: Literal["prefix", "rest"] = "prefix" if model.generator in ("gru", "transformer") else "rest"
            discriminator = AlternativesDiscriminator(
                read, *sizes, context, model.discriminator, model.log_ratio_bound, is_partial
            )
        else:
            per_prefix = credit == "prefix"
            discriminator = DISCRIMINATORS[model.discriminator](read, *sizes, per_prefix=per_prefix, partial=is_partial)
        return generator, discriminator

    def algorithm(self, config: TextTrainingConfig, space: SampleSpace) -> TextAlgorithmConfig:
        """The algorithm with its `escort`: where none was asked for, what suits the generator.

        A generator that draws all positions at once has to become sharp at each of them to write a word at all, and
        there a wrong choice would stay. An autoregressive one learns better from the exact gradient.
        """
        training: TextAlgorithmConfig = super().algorithm(config, space)
        if training.escort is not None or training.credit != "alternatives":
            return training
        return dataclasses.replace(training, escort=ESCORT if _is_one_shot(config) else 1.0)

    def start(self, generator: Generator, config: TextTrainingConfig, data: TextData) -> None:
        """Give the data's frequencies for an output bias, and the logits their spread over latents."""
        frequencies = torch.from_numpy(log_frequencies(data.codes, data.num_categories))
        occurs = torch.from_numpy(category_counts(data.codes, data.num_categories).any(0))
        frequencies[..., ~occurs] = ABSENT_LOG_FREQUENCY
        generator.set_output_bias(frequencies)
        spread = config.model.logit_spread
        if spread is None and config.training.credit == "alternatives" and _is_one_shot(config):
            spread = LOGIT_SPREAD
        if spread is not None:
            set_logit_spread(generator, sample_latents(500, generator.latent_size, generator.latent_kind), spread)

    def given_codes(self, given: Any, codec: TextCodec, space: SampleSpace) -> GivenCodes:
        """Of lists of tokens."""
        return GivenCodes(codes_of_tokens(given, codec))

    def save(self, samples: Samples, path: Path) -> str:
        """One sample a line."""
        text = "".join(f"{on_one_line(line)}\n" for line in samples.values)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text, errors="replace")
        return text

    def lines(self, samples: Samples) -> list[str]:
        """The first texts."""
        return samples.values[:SHOWN_LINES]

    def check_output(self, output: Path | None, codec: TextCodec) -> None:
        """Any file, or stdout."""
        if output is not None:
            check_file(output, ())
        else:
            write_product("")  # before the work, whether it can be written at all

    def write(
        self,
        parts: Iterable[Samples],
        output: Path | None,
        num_samples: int,
        codec: TextCodec,
        *,
        columns: int | None = None,
        decode: str = "inside",
    ) -> None:
        """One JSON object a line into ``*.jsonl``, else one sample a line, with `on_one_line`."""
        if output is None:
            for part in parts:
                write_product("".join(f"{on_one_line(text)}\n" for text in part.values))
            return
        is_json = output.suffix == ".jsonl"
        with replacing_file(output) as file:
            for part in parts:
                for text in part.values:
                    line = json.dumps({"text": text}, ensure_ascii=False) if is_json else on_one_line(text)
                    file.write(f"{line}\n".encode())

    def facts(self, samples: Samples, data: TextData, picture: Path) -> dict[str, Any]:
        """Nearest training texts, and the share of unknown tokens."""
        neighbours = nearest_texts(samples.codes, data.codes, data.codec.lengths, data.codec.decode)
        tokens = sum(int(data.codec.lengths(data.codes[i : i + 65536]).sum()) for i in range(0, len(data.codes), 65536))
        return {"neighbours": neighbours, "unknown_share": data.counts["unknown"] / max(tokens, 1)}

    def rounds(self, drawn: DrawnRounds, codec: TextCodec, picture: Path) -> dict[str, Any]:
        """The longest text after each round."""
        row = int(codec.lengths(drawn.stages[-1]).argmax())

        def write(codes: np.ndarray) -> str:
            return on_one_line(codec.detokenize(codes))

        noun = "characters" if isinstance(codec, CharacterCodec) else "tokens"
        return lines_of_rounds(drawn, noun, write, lambda stage: int(codec.lengths(stage[None])[0]), row)

    def evaluate(
        self,
        pipeline: Any,
        data: TextData,
        num_samples: int,
        seed: int = METRICS_SEED,
        *,
        resample: int = 1,
        rounds: int | None = None,
        others: Mapping[str, Any] | None = None,
        protocol: str = "full",
        sweep_temperature: bool = False,
        **options: Any,
    ) -> Evaluation:
        """Divergences of n-grams, perplexities, BLEU; of ``others``, models by the names of their rows, too.

        The ``protocol`` ``wgan-gp`` adds the divergences of 640 samples of 32 characters; ``sweep_temperature``
        evaluates all models at `TEMPERATURES`.
        """
        refuse_options(self.name, options)
        others = others or {}
        if num_samples < 2:
            raise InputError(f"num_samples must be at least 2, got {num_samples}")
        training, heldout = _evaluated_texts(data)
        texts = pipeline.generate(num_samples, seed=seed, resample=resample, rounds=rounds).values
        if not any(texts):
            raise InputError("the model generates only empty texts: there is nothing to evaluate")
        report = evaluate_text(
            texts,
            training,
            heldout,
            ends=data.codec.ends,
            valid=equations() if data.name == "arithmetic" else None,
            others={name: other.generate(num_samples, seed=seed).values for name, other in others.items()},
            num_available=len(data.codes),
        )
        with_likelihood(report, pipeline.generator, data, rounds, resample, PERPLEXITY_ORDER)
        if protocol == "wgan-gp":
            few = num_samples < WGAN_GP_SAMPLES
            drawn = (
                pipeline.generate(WGAN_GP_SAMPLES, seed=seed, resample=resample, rounds=rounds).values if few else texts
            )
            report.facts["wgan_gp"] = wgan_gp_divergences(drawn, training, heldout)
        if sweep_temperature:
            report.facts["sweep"] = {
                name: (
                    sweep_temperatures(model, data, num_samples, seed, resample=resample, rounds=rounds)
                    if model is pipeline
                    else sweep_temperatures(model, data, num_samples, seed)
                )
                for name, model in {"model": pipeline, **others}.items()
            }
        return report

    def judge(self, config: TextTrainingConfig, data: TextData) -> Judge:
        """N-grams of decoded texts."""
        return text_judge(data.codec.decode, data.codes, data.codec.ends)

    def words(self, codec: TextCodec) -> Words:
        """With the Hub's task for text."""
        return Words("text", "texts", ("text-generation", "Text generation"))

    def remarks(self, report: Evaluation, data: TextData) -> list[str]:
        """The share of unknown tokens, and the figures of further protocols."""
        tokens = int(data.codec.lengths(np.asarray(data.heldout_codes)).sum())
        unknown = data.counts["heldout_unknown"] / max(tokens, 1)
        lines = []
        if unknown:
            what = "of the held-out tokens, which the model's vocabulary lacks; all count as one"
            lines.append(f"unknown: {unknown:.1%} {what}")
        for name, row in report.facts.get("wgan_gp", {}).items():
            figures = "  ".join(f"{key} {value:.3f}" for key, value in row.items())
            lines.append(f"640 samples of 32 characters, {name}: {figures}")
        for name, points in report.facts.get("sweep", {}).items():
            lines += [f"{name}: " + "  ".join(f"{key} {value:.3f}" for key, value in p.items()) for p in points]
        return lines


def _is_one_shot(config: TextTrainingConfig) -> bool:
    """Whether the generator draws all positions at once."""
    return config.model.generator in ("conv", "mlp")


def _evaluated_texts(data: TextData) -> tuple[list[str], list[str]]:
    """Training and held-out texts, at most `MAX_EVALUATED_TEXTS` of each."""
    parts = []
    for codes in (data.codes, data.heldout_codes):
        rows = np.linspace(0, len(codes) - 1, min(len(codes), MAX_EVALUATED_TEXTS)).astype(np.int64)
        parts.append(data.codec.decode(np.ascontiguousarray(codes[rows])))
    training, heldout = parts
    return training, heldout


def sweep_temperatures(
    pipeline: Any, data: TextData, num_samples: int, seed: int = METRICS_SEED, **options: Any
) -> list[dict[str, float]]:
    """Quality and diversity at each of `TEMPERATURES`: a single point would only measure sharpness.

    The ``options`` are those of `Pipeline.generate`.
    """
    training, heldout = _evaluated_texts(data)
    names = ("JSD-4", "forward perplexity", "reverse perplexity", "BLEU-4", "Self-BLEU-4", "valid")
    points = []
    for temperature in TEMPERATURES:
        texts = pipeline.generate(num_samples, seed=seed, temperature=temperature, **options).values
        valid = equations() if data.name == "arithmetic" else None
        report = evaluate_text(texts, training, heldout, ends=data.codec.ends, valid=valid, markov=False)
        row = {figure.title: figure.value for figure in report.figures.values()}
        points.append({"temperature": temperature, **{name: row[name] for name in names if name in row}})
    return points
