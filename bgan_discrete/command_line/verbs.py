"""The verbs of the program: what each is for, its flags, and the task that it calls."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgan_discrete import __version__
from bgan_discrete.command_line.calls import (
    Call,
    kind_of_data,
    kind_of_model,
    kind_of_training,
    options_of,
    parse_evaluation,
    parse_training,
    section_of,
)
from bgan_discrete.command_line.examples import EXAMPLES
from bgan_discrete.command_line.flags import CONFIG_HELP, Parser, add_option
from bgan_discrete.config import CONFIGS, Front, TrainingConfig, codec_options
from bgan_discrete.errors import InputError
from bgan_discrete.streams import write_product

TITLES = {"run": "run", "data": "data", "model": "networks", "target": "verifiers and rewards", "training": "training"}
GENERATING = {
    "verifier": "samples that are not valid are drawn anew: a function as in bgan train, of tables too",
    "reward": "with --resample: a function as in bgan train, by which draws are weighed too",
    "reward_weight": "lambda, weight of the reward, a number",
}
"""What flags of a training mean for samples."""

COMMON = {
    "dataset": "the data: a file, a folder, an id of the Hub (owner/name), or embedded: digits, arithmetic, "
    "python-docs, records, motifs, table (default: none)",
    "output_dir": "folder of the run (default: runs/images, runs/text or runs/array)",
    "overwrite": "",
    "resume": "",
    "start_from": "",
    "max_seconds": "",
    "max_steps": "",
    "num_samples": "",
    "seed": "",
    "device": "",
    "limit": "use only the first so many images, documents or rows",
    "holdout": "share of the data held out for the metrics, or, of texts and arrays, another file to evaluate with",
    "batch_size": "",
    "num_draws": "",
    "codec": "",
    "tokenizer": "",
    "length": "",
    "bins": "",
}
"""The options shown first, with ``--kind`` and ``--config`` twenty; their help where it differs by the kind."""


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        purpose: In one line.
        run: Does it; gives an exit code.
        add_flags: Adds its flags for a kind of data to a parser; None is for all kinds, where they can be together.
        examples: Arguments that work, by the kind of data; those of a verb without kinds by "".
    """

    purpose: str
    run: Callable[[Call], int]
    add_flags: Callable[[Parser, str | None], None]
    examples: dict[str, tuple[str, ...]]

    @property
    def has_kinds(self) -> bool:
        """Whether it is about one kind of data."""
        return "" not in self.examples


def call_verb(argv: Sequence[str]) -> int:
    """Do what ``bgan argv`` asks for.

    Args:
        argv: A verb with its arguments, ``--help`` or ``--version``.

    Returns:
        The exit code.

    Raises:
        InputError: If the arguments are wrong, in one line.
    """
    if not argv or argv[0] in ("-h", "--help"):
        listed = "\n".join(f"  {name:12}{verb.purpose}" for name, verb in VERBS.items())
        example = f"bgan train {VERBS['train'].examples['images'][0]}"
        print(f"usage: bgan VERB ...\n\n{listed}\n\nbgan VERB --help shows its options.\n\nexample:\n  {example}")
        write_product("")
        return 0
    if argv[0] == "--version":
        print(f"bgan_discrete {__version__}")
        return 0
    if argv[0] not in VERBS:
        near = difflib.get_close_matches(argv[0], VERBS, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(VERBS)}"
        raise InputError(f"verb {argv[0]!r} is unknown; {advice}")
    return VERBS[argv[0]].run(Call(argv[0], argv[1:], command=f"bgan {argv[0]}"))


def parser_of(call: Call, kind: str | None = None) -> Parser:
    """The parser of a verb.

    Args:
        call: Of the verb.
        kind: Of the data; None of a verb without kinds, or for the help of all kinds.

    Returns:
        The parser with all flags.
    """
    verb = VERBS[call.verb]
    examples = [line for name, lines in verb.examples.items() if kind in (None, name) for line in lines]
    parser = Parser(verb.purpose, examples, call.command)
    parser.usage = "%(prog)s [options]"
    if call.kind is None and verb.has_kinds:
        parser.add_argument("--kind", dest="given_kind", metavar=_kinds(), help="of the data (default: found)")
    verb.add_flags(parser, kind)
    return parser


# train


def _train(call: Call) -> int:
    if call.asks("-h", "--help") and not call.given_kind:
        _common_parser(call, [*COMMON]).values(["--help"])
    kind = call.given_kind or kind_of_training(call)
    config = parse_training(parser_of(call, kind), call.argv, kind)

    from bgan_discrete.runs.train import train

    return train(config).exit_code


def _add_training(parser: Parser, kind: str | None) -> None:
    assert kind is not None
    parser.add_argument("--help-all", action="help", help="show all options of the kind of data, given or found")
    parser.add_config()
    for name, title in TITLES.items():
        parser.add_section(section_of(kind, name), title, kind=kind)


def _common_parser(call: Call, names: Sequence[str]) -> Parser:
    """For the help before the kind is known: the options that most users need, of all kinds of data."""
    verb = VERBS[call.verb]
    parser = Parser(verb.purpose, [lines[0] for lines in verb.examples.values()], call.command)
    parser.usage = "%(prog)s [options]"
    group = parser.add_argument_group(f"the most common options (all of a kind: {call.command} --kind text --help)")
    group.add_argument("--kind", dest="given_kind", metavar=_kinds(), help="of the data (default: found)")
    if call.verb == "train":
        group.add_argument("--config", metavar="FILE", help=CONFIG_HELP)
    known = {kind: options_of(kind) for kind in CONFIGS}
    for name in names:
        having = {kind: options[name] for kind, options in known.items() if name in options}
        entry, hint = next(iter(having.values()))
        text = COMMON[name] or entry.metadata["help"]
        if len(having) < len(known):
            text = f"{' and '.join(having)}: {text}"
        if len({repr(entry.default) for entry, _ in having.values()}) > 1 and "(default" not in text:
            text += f" (default: {', '.join(f'{entry.default} {kind}' for kind, (entry, _) in having.items())})"
        add_option(group, entry, hint, text)
    return parser


# prepare


def _prepare(call: Call) -> int:
    if call.asks("-h", "--help") and not call.given_kind:
        names = {name for kind in CONFIGS for name in section_of(kind, "data").__dataclass_fields__}  # type: ignore[attr-defined]
        _common_parser(call, [name for name in COMMON if name in names]).values(["--help"])
    kind = call.given_kind or kind_of_data(call)
    data = section_of(kind, "data")(**parser_of(call, kind).values(call.argv))
    data.check()

    from bgan_discrete.kinds.registry import get_kind
    from bgan_discrete.sources import describe

    print(describe(get_kind(kind).load(data)))
    return 0


def _add_data(parser: Parser, kind: str | None) -> None:
    assert kind is not None
    parser.add_section(section_of(kind, "data"), "data", kind=kind)


# generate


def _generate(call: Call) -> int:
    kind = _kind_or_help(call)
    values = parser_of(call, kind).values(call.argv)
    _use_threads(values.pop("threads"))
    output = values.pop("output")
    if output is None:
        output = CONFIGS[kind].front.output
        if output is not None and Path(output).exists():
            raise InputError(f"output {output!r} exists: name it by --output to replace it, or give another name")

    from bgan_discrete.runs.generate import generate

    generate(output=None if output is None else Path(output), kind=kind, **values)
    return 0


def _kind_or_help(call: Call) -> str:
    """The kind of a call's model; shows the help of that kind, or of all, where it is asked for."""
    if call.asks("-h", "--help"):
        parser_of(call, call.given_kind).values(["--help"])
    return call.given_kind or kind_of_model(call)


def _add_generating(parser: Parser, kind: str | None) -> None:
    fronts = _fronts(kind)
    _add_model(parser, kind, {name: front.num_generated for name, front in fronts.items()}, seed=0)
    add = parser.add_argument_group("samples").add_argument
    text = "divides all logits: 1 draws from the model as it is, below 1 sharpens"
    add("--temperature", type=float, default=1.0, metavar="FLOAT", help=text)
    for name in ("verifier", "reward", "reward_weight"):
        entry, hint = options_of("arrays")[name]
        add_option(parser, entry, hint, GENERATING[name])
    texts = [front.output_help if kind else f"{name}: {front.output_help}" for name, front in fronts.items()]
    add("--output", metavar="PATH", help="; ".join(texts))
    flags: dict[str, dict[str, Any]] = {}
    for front in fronts.values():
        for flag, arguments in front.generating.items():
            known = flags.setdefault(flag, {**arguments})
            if known != {**arguments}:
                known["help"] = f"{known['help']}; {arguments['help']}"
    for flag, arguments in flags.items():
        add(flag, **arguments)


def _fronts(kind: str | None) -> dict[str, Front]:
    """What the program says of one kind of data, or of all."""
    return {name: config.front for name, config in CONFIGS.items() if kind in (None, name)}


def _kinds() -> str:
    return "{" + ",".join(CONFIGS) + "}"


def _add_model(parser: Parser, kind: str | None, num_samples: dict[str, int], seed: int) -> None:
    """Add the flags of every verb that draws from a saved model."""
    add = parser.add_argument_group("model and samples").add_argument
    text = "the 'model' folder of a run, or the id of a model on the Hugging Face Hub"
    add("--model", required=True, metavar="MODEL", help=text)
    add("--revision", metavar="STR", help="branch, tag or commit of a model on the Hub")
    text = "how many samples are drawn"
    if kind is None:
        text += f" (default: {', '.join(f'{count} {name}' for name, count in num_samples.items())})"
    default = None if kind is None else num_samples[kind]
    add("--num-samples", type=int, default=default, metavar="INT", help=text)
    add("--seed", type=int, default=seed, metavar="INT", help="seed of latents and draws")
    add("--device", default="auto", metavar="STR", help="cpu, cuda, ... (auto: cuda if any)")
    add("--threads", type=int, metavar="INT", help="threads of the CPU (default: torch's choice)")
    text = (
        "draw so many for each sample and keep one of them, by its importance weight under the discriminator of the "
        "run in whose folder the model is: nearer to the data, at so many times the cost"
    )
    add("--resample", type=int, default=1, metavar="INT", help=text)
    text = "draw in so many rounds, of a model whose generator is masked (default: those of its training)"
    add("--rounds", type=int, metavar="INT", help=text)


def _use_threads(threads: int | None) -> None:
    """Let torch use so many threads of the CPU, as a training does; None leaves it its own choice."""
    if threads is not None:
        TrainingConfig(threads=threads).check()
        import torch

        torch.set_num_threads(threads)


# evaluate


def _evaluate(call: Call) -> int:
    if call.value("--real") is not None or call.value("--synthetic") is not None:
        return _evaluate_files(call)
    kind = _kind_or_help(call)
    section = section_of(kind, "data")
    values = parse_evaluation(parser_of(call, kind), call.argv, kind)
    for name in FILES:
        values.pop(name, None)
    names = section.__dataclass_fields__.keys() & values.keys()  # type: ignore[attr-defined]
    data = section(**{name: values.pop(name) for name in names})
    data.check()
    _use_threads(values.pop("threads"))
    output = values.pop("output")

    from bgan_discrete.runs.evaluate import evaluate

    evaluate(data=data, output=None if output is None else Path(output), **values)
    return 0


FILES = {
    "real": "a table that somebody made a synthetic one from: compared without a model, with --synthetic",
    "synthetic": "the synthetic table, of the same columns: .csv, .tsv, .parquet or .npy",
}
"""The flags by which tables are evaluated without a model."""

FILES_PURPOSE = "Compare a synthetic table with the real one that it was made from, whatever made it."
FILES_EXAMPLE = "--real real.csv --synthetic synthetic.csv --holdout unseen.csv --output report.json"


def _evaluate_files(call: Call) -> int:
    """Compare a synthetic table with a real one."""
    parser = Parser(FILES_PURPOSE, [FILES_EXAMPLE], call.command)
    add = parser.add_argument
    for name, text in FILES.items():
        add(f"--{name}", required=True, metavar="FILE", help=text)
    text = "real rows that were kept from what made the synthetic ones (default: half of the real rows are the floor)"
    add("--holdout", metavar="FILE", help=text)
    for flag, arguments in CONFIGS["arrays"].front.evaluating.items():
        add(flag, **arguments)
    add("--output", metavar="FILE", help="the report as JSON, and a page beside it, .html; replaced if there")
    add("--seed", type=int, default=0, metavar="INT", help="of all that is drawn")
    add("--threads", type=int, metavar="INT", help="threads of the CPU (default: torch's choice)")
    for name in ("columns", "drop", "missing", "delimiter", "header"):
        entry, hint = options_of("arrays")[name]
        add_option(parser, entry, hint, entry.metadata["help"])
    values = parser.values(call.argv)
    _use_threads(values.pop("threads"))
    output = values.pop("output")

    from bgan_discrete.runs.compare_tables import evaluate_files
    from bgan_discrete.sources.column_settings import split_names

    names = {name: split_names(values.pop(name)) for name in ("columns", "drop", "missing", "targets")}
    values |= {name: found for name, found in names.items() if found is not None}
    evaluate_files(output=None if output is None else Path(output), **values)
    return 0


def _add_evaluating(parser: Parser, kind: str | None) -> None:
    if kind in (None, "arrays"):
        group = parser.add_argument_group("tables without a model (all options: bgan evaluate --real real.csv --help)")
        for name, text in FILES.items():
            group.add_argument(f"--{name}", metavar="FILE", help=text)
    fronts = _fronts(kind)
    _add_model(parser, kind, {name: front.num_evaluated for name, front in fronts.items()}, seed=1)
    for flag, arguments in (item for front in fronts.values() for item in front.evaluating.items()):
        parser.add_argument(flag, **arguments)
    parser.add_argument("--output", metavar="FILE", help="the report as JSON; replaced if there")
    if kind is None:
        parser.add_argument_group("data", "options of the data, of one kind: bgan evaluate --kind text --help")
    else:
        parser.add_section(section_of(kind, "data"), "data", without={*codec_options(kind)} - {"missing"}, kind=kind)


# report, push, completion


def _report(call: Call) -> int:
    values = parser_of(call).values(call.argv)
    runs, output = values["runs"], values["output"]
    if len(runs) > 1 and output is None:
        raise InputError("a comparison of several runs needs --output, such as --output comparison.html")

    from bgan_discrete.reporting.page import write_comparison_page, write_report_page

    path = write_report_page(runs[0], output) if len(runs) == 1 else write_comparison_page(runs, output)
    print(f"report: {path}", flush=True)
    return 0


def _add_reporting(parser: Parser, _: str | None) -> None:
    parser.usage = "%(prog)s RUN ... [--output FILE]"
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run; several are compared")
    text = "the HTML file (default: report.html in the folder of the run; to be given for several)"
    parser.add_argument("--output", metavar="FILE", help=text)


def _push(call: Call) -> int:
    values = parser_of(call).values(call.argv)

    from bgan_discrete.runs.model_card import push_model

    push_model(values.pop("model"), values.pop("repo_id"), **{**values, "private": values["private"] or None})
    return 0


def _add_pushing(parser: Parser, _: str | None) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="the 'model' folder of a run")
    add("--repo-id", required=True, metavar="OWNER/NAME", help="made if there is none")
    add("--private", action="store_true", help="make a repository that only its owner sees")
    add("--commit-message", default="Upload model", metavar="STR", help="message of the one commit")
    add("--revision", metavar="STR", help="branch to commit to (default: main)")
    add("--create-pr", action="store_true", help="propose the commit as a pull request")


def _complete(call: Call) -> int:
    shell = parser_of(call).values(call.argv)["shell"]

    from bgan_discrete.command_line.completion import completion_script

    flags: dict[str, dict[str, Any]] = {}
    for name, verb in VERBS.items():
        kinds = (*CONFIGS,) if verb.has_kinds else (None,)
        parsers = [parser_of(Call(name), kind) for kind in kinds]
        flags[name] = {flag: action for parser in reversed(parsers) for flag, action in parser.flags().items()}
    print(completion_script(shell, {name: verb.purpose for name, verb in VERBS.items()}, flags), end="")
    return 0


def _add_completing(parser: Parser, _: str | None) -> None:
    parser.usage = "%(prog)s bash|zsh|fish"
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose words are completed")


VERBS = {
    "train": Verb("Train a boundary-seeking GAN on images, text or arrays.", _train, _add_training, EXAMPLES["train"]),
    "prepare": Verb(
        "Read, encode and cache a data set, and say what is in it.", _prepare, _add_data, EXAMPLES["prepare"]
    ),
    "generate": Verb("Draw samples from a trained model.", _generate, _add_generating, EXAMPLES["generate"]),
    "evaluate": Verb(
        "Compare samples of a trained model with held-out data: each figure with its floor and a baseline.",
        _evaluate,
        _add_evaluating,
        EXAMPLES["evaluate"],
    ),
    "report": Verb(
        "Write the report of a run, finished or not, or a comparison of several runs, as one HTML file.",
        _report,
        _add_reporting,
        EXAMPLES["report"],
    ),
    "push": Verb(
        "Upload a trained model with its card to the Hugging Face Hub (token: HF_TOKEN or 'hf auth login').",
        _push,
        _add_pushing,
        EXAMPLES["push"],
    ),
    "completion": Verb(
        "Print the script that completes the words of this program in a shell.",
        _complete,
        _add_completing,
        EXAMPLES["completion"],
    ),
}
