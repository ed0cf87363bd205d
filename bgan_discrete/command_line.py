"""What the scripts share: flags from configuration classes, and errors in one line."""

import argparse
import difflib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from bgan_discrete.config import (
    RETIRED,
    ArrayTrainingConfig,
    ImageTrainingConfig,
    ScriptConfig,
    Sections,
    TextTrainingConfig,
    TrainingConfig,
    check_text,
    folder_of_run,
    folder_of_start,
    load_config_values,
)
from bgan_discrete.errors import BGANError, InputError, one_line
from bgan_discrete.streams import ReaderGoneError, prepare_streams, say, write_product

EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_READER_GONE = 141

FLAGS_OF_NAMES = ("--columns", "--drop", "--missing")
"""Flags whose values are lists of names in the data, also where one is ``null``."""

YAML_NOTHING = ("null", "Null", "NULL", "~")

_UNKNOWN_KEY = r"Option '([\w-]+)' is not accepted"
"""What the parser says of a key in a file."""

TRAINING_SCRIPTS: dict[str, type[ScriptConfig]] = {
    "train_images.py": ImageTrainingConfig,
    "train_text.py": TextTrainingConfig,
    "train_array.py": ArrayTrainingConfig,
}
"""Whose runs have which options."""


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of examples; shows a default unless it is None or the help tells it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        silent = action.default is None or action.default is False or action.default == argparse.SUPPRESS
        if silent or "(default" in text:
            return text
        return f"{text} (default: {action.default})"


def make_parser(description: str, example: str) -> ArgumentParser:
    """A parser with a description, an example at its end, and no exits of its own.

    Args:
        description: What the script does.
        example: Command lines that work.

    Returns:
        The parser, without arguments.
    """
    return ArgumentParser(
        description=description,
        epilog=f"example:\n{example}",
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        default_env=False,
    )


def add_section(
    parser: ArgumentParser, section: type, title: str, without: tuple[str, ...] = (), kind: str | None = None
) -> None:
    """Add a flag for each field of a configuration class: ``num_draws`` becomes ``--num-draws``.

    Args:
        parser: Where to.
        section: A dataclass whose fields were made by `bgan_discrete.config.option`.
        title: Heading in the help.
        without: Fields that get no flag.
        kind: Of the data: options of other kinds are not shown; None to show all.
    """
    group = parser.add_argument_group(title)
    hints = get_type_hints(section)
    for entry in fields(section):
        if entry.name in without:
            continue
        assert entry.default is not MISSING
        flag = f"--{entry.name.replace('_', '-')}"
        shown = kind is None or kind in entry.metadata["kinds"]
        text = entry.metadata["help"].replace("%", "%%") if shown else argparse.SUPPRESS
        if hints[entry.name] is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=entry.default, help=text)
        else:
            metavar = _metavar(hints[entry.name])
            group.add_argument(flag, type=hints[entry.name], default=entry.default, help=text, metavar=metavar)


def add_model_options(parser: ArgumentParser, num_samples: int, seed: int) -> None:
    """Add the flags of every script that draws from a saved model: which one, where, and how many samples.

    Args:
        parser: Where to.
        num_samples: The default of ``--num-samples``.
        seed: The default of ``--seed``.
    """
    group = parser.add_argument_group("model and samples")
    group.add_argument(
        "--model",
        type=str,
        required=True,
        metavar="MODEL",
        help="the 'model' folder of a run, or the id of a model on the Hugging Face Hub",
    )
    group.add_argument(
        "--revision", type=str | None, default=None, metavar="STR", help="branch, tag or commit of a model on the Hub"
    )
    group.add_argument("--num-samples", type=int, default=num_samples, metavar="INT", help="how many samples are drawn")
    group.add_argument("--seed", type=int, default=seed, metavar="INT", help="seed of latents and draws")
    group.add_argument("--device", type=str, default="auto", metavar="STR", help="cpu, cuda, ... (auto: cuda if any)")
    group.add_argument(
        "--threads", type=int | None, default=None, metavar="INT", help="threads of the CPU (default: torch's choice)"
    )
    group.add_argument(
        "--resample",
        type=int,
        default=1,
        metavar="INT",
        help="draw so many for each sample and keep one of them, by its importance weight under the discriminator of "
        "the run in whose folder the model lies: nearer to the data, at so many times the cost",
    )


def use_threads(threads: int | None) -> None:
    """Let torch use so many threads of the CPU, as a training does; None leaves it its own choice."""
    if threads is not None:
        TrainingConfig(threads=threads).check()
        import torch

        torch.set_num_threads(threads)


def add_temperature(parser: ArgumentParser) -> None:
    """Add the flag of a temperature."""
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="FLOAT",
        help="divides all logits: 1 draws from the model as it is, below 1 sharpens",
    )


def _metavar(hint: Any) -> str:
    """What stands behind a flag in the help: its choices, or the kind of its value."""
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    return "|".join(_metavar(kind) if get_origin(kind) else kind.__name__.upper() for kind in kinds)


def parse(parser: ArgumentParser, argv: list[str] | None = None) -> dict[str, Any]:
    """Parse a command line into a dictionary of field names and values.

    Args:
        parser: From `make_parser`.
        argv: Arguments; the process's own if None.

    Returns:
        Names, with underscores, and values, without the parser's own entries.

    Raises:
        InputError: If the command line is wrong, in one line.
    """
    given = sys.argv[1:] if argv is None else argv
    written: dict[str, str] = {}
    for word, following in zip(given, [*given[1:], ""], strict=False):
        flag, has_value, value = word.partition("=")
        written[flag] = value if has_value else following
        if flag == "--config" and written[flag]:
            # The parser would print whatever it finds there, and aliases make a small file larger than any memory.
            load_config_values(Path(written[flag]).expanduser())
    try:
        values = parser.parse_args(given).as_dict()
    except SystemExit:  # after --help, whose text is all that was asked for
        write_product("")
        raise
    except Exception as error:  # beside its own errors, what its YAML library raises for dates, numbers and bytes
        raise InputError(_plain(str(error) or type(error).__name__) + _advice(str(error), parser)) from None
    values.pop("config", None)
    numbers = {action.dest for action in parser._actions if action.metavar in ("INT", "FLOAT")}
    for name in values:
        flag = f"--{name.replace('_', '-')}"
        if values[name] is None and flag in written and (flag in FLAGS_OF_NAMES or written[flag] not in YAML_NOTHING):
            if name in numbers:
                raise InputError(f"{flag}: expected a number. Got value: {written[flag]}")
            values[name] = written[flag]  # which YAML takes for nothing, such as a column '#'
        if isinstance(values[name], str):
            check_text(flag, values[name])
    return values


def parse_run(parser: ArgumentParser, argv: list[str], kind: type[Sections]) -> Sections:
    """Parse the command line of a training; with ``--resume``, on top of the options that the run began with.

    With ``--start-from``, on top of those of the run that it names.

    Args:
        parser: With the sections of the configuration.
        argv: Arguments.
        kind: The configuration's class.

    Returns:
        The configuration, checked.

    Raises:
        InputError: If the command line is wrong, or there is no run to resume, in one line.
    """
    values = parse(parser, argv)
    folder: Path | None = Path(values["output_dir"])
    if values["resume"] is not None:
        if not (Path(values["output_dir"]) / "config.yaml").is_file():
            raise InputError(f"--resume finds no run in {values['output_dir']!r}: there is no config.yaml")
    else:
        folder = None if values["start_from"] is None else folder_of_start(values["start_from"])
    if folder is not None:
        options = load_config_values(folder / "config.yaml")
        _check_script(options, kind, str(folder))
        began = kind.from_flat(options).to_flat()
        # How a run was started says nothing about how it goes on.
        kept = {name: value for name, value in began.items() if name not in ("output_dir", "resume", "overwrite")}
        parser.set_defaults({name: value for name, value in kept.items() if name in values})
        # What the script has no flag for stays as it was.
        values = {**{name: value for name, value in kept.items() if name not in values}, **parse(parser, argv)}
    return kind.from_flat(values)


def parse_evaluation(parser: ArgumentParser, kind: type[ScriptConfig], argv: list[str] | None = None) -> dict[str, Any]:
    """Parse the command line of a judgement; the data are read as the run beside the model read them.

    A model that lies in the folder of its run is judged by the run's data, unless ``--dataset`` names others; flags
    that are given win. What is taken from there is said.

    Args:
        parser: With the flags of the model and of the data.
        kind: Configuration of the script that trains such models.
        argv: Arguments; the process's own if None.

    Returns:
        As from `parse`.

    Raises:
        InputError: As from `parse`.
    """
    values = parse(parser, argv)
    section = _data_section(kind)
    try:
        saved = folder_of_run(values["model"]) / "config.yaml"
        if not saved.is_file():
            return values
        options = kind.from_flat(load_config_values(saved)).to_flat()
    except (InputError, OSError, ValueError) as error:  # another program's file is no matter, but that of a run is
        if values["dataset"] == section().dataset:
            told = one_line(error)
            say(f"data by this command's options alone; the run beside the model is not read: {told}")
        return values
    # What the model's samples are is asked of the model, and where they go is this script's own matter.
    taken = {name: options[name] for name in values.keys() & {entry.name for entry in fields(section)}}
    parser.set_defaults(taken)
    again = parse(parser, argv)
    if os.path.realpath(again["dataset"]) != os.path.realpath(taken["dataset"]):
        return values
    used = [f"{name} {again[name]!r}" for name in values if again[name] != values[name]]
    if used:
        say(f"data as the run had them ({saved}): {', '.join(used)}")
    return again


def _data_section(kind: type[ScriptConfig]) -> type:
    (section,) = (entry for entry in fields(kind) if entry.name == "data")
    found: type = section.default_factory  # type: ignore[assignment]
    return found


def _check_script(options: dict[str, Any], kind: type[ScriptConfig], folder: str) -> None:
    """Raise InputError for the options of a run that another script began."""
    if options.keys() <= kind().to_flat().keys():
        return
    for script, other in TRAINING_SCRIPTS.items():
        if options.keys() <= other().to_flat().keys():
            raise InputError(f"folder {folder!r} holds a run of {script}: resume it with that script, or start there")


def _advice(message: str, parser: ArgumentParser) -> str:
    """For an option that there is not: the one that is spelt nearly so."""
    flag = re.match(r"unrecognized arguments: (--[\w-]+)?", message, flags=re.IGNORECASE)
    key = re.search(_UNKNOWN_KEY, message)
    if not flag and not key:
        return ""
    wrong = key[1] if key else ((flag and flag[1]) or "").replace("_", "-")
    retired = wrong.removeprefix("--").removeprefix("no-").replace("-", "_")
    if retired in RETIRED:
        return f"; this option is no more: {RETIRED[retired]}"
    known = parser.get_defaults().as_dict()
    names = list(known) if key else [f"--{name.replace('_', '-')}" for name in known]
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else "; see --help"


def _plain(message: str) -> str:
    """A parser's message in the words of a command line."""
    message = " ".join(message.split())
    message = re.sub(r'Parser key "(\w+)": ', lambda found: f"--{found[1].replace('_', '-')}: ", message)
    message = re.sub(r"Expected a typing\.Literal\[([^]]*)\]", lambda found: f"expected one of {found[1]}", message)
    message = re.sub(r"Expected a <class '(\w+)'>", r"expected \1", message)
    message = re.sub(_UNKNOWN_KEY, r"--config holds the unknown option '\1'", message)
    union = re.search(
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] .*Given value: (.*)", message
    )
    if union:
        kinds = [kind for kind in re.findall(r"<class '(\w+)'>", union[1]) if kind != "NoneType"]
        message = f"{message[: union.start()]}expected {' or '.join(kinds)}. Got value: {union[2]}"
    return message


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script's main function; end the process with a one-line message where it fails on purpose.

    Exit codes: 0 with the product in place, 2 for bad input, 1 for another error of this package or a lack of disk or
    memory, 129, 130 and 143 after SIGHUP, Ctrl-C and SIGTERM, 141 if the reader of a product on stdout has gone.

    Args:
        main: The function; it may return an exit code.
    """
    prepare_streams()
    with _ended_by_signals():
        try:
            code = main() or 0
        except InputError as error:
            code = _complain(error, EXIT_BAD_INPUT)
        except (BGANError, OSError) as error:
            code = _complain(error, EXIT_READER_GONE if isinstance(error, ReaderGoneError) else EXIT_FAILED)
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            code = _complain(
                f"there is not enough memory: {one_line(error)}; take a smaller batch_size or num_draws, or more "
                "gradient_accumulation_steps, or smaller networks",
                EXIT_FAILED,
            )
        except KeyboardInterrupt:
            code = _complain("interrupted", 130)
    sys.exit(code)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the process with a line at SIGTERM, or SIGHUP unless that is ignored (nohup); a training has its own way.

    Of several processes, one that waits for another would not hear of it: it ends at once, and the launcher says so.
    """

    def end(number: int, frame: object) -> None:
        # As a kill does: what waits for others on its way out, such as a pool of workers, must not hold the process.
        os._exit(_complain(f"ended by {signal.Signals(number).name}", 128 + number))

    alone = os.environ.get("WORLD_SIZE", "1") == "1" and threading.current_thread() is threading.main_thread()
    found = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP") if alone]
    numbers = [number for number in found if number and signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _lacks_memory(error: Exception) -> bool:
    """Whether an error of NumPy or torch says that something does not fit into memory."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in said for words in ("can't allocate memory", "not enough memory", "Storage size calculation"))
    )


def _complain(error: object, code: int) -> int:
    rank = os.environ.get("RANK", "0")
    who = Path(sys.argv[0]).name + ("" if rank == "0" else f"[{rank}]")
    print(f"{who}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code
