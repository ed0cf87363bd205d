"""Flags from options: `num_draws` is `--num-draws`; what is wrong with a command line is reported in one line."""

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from bgan_discrete.config.checks import check_text, shown
from bgan_discrete.config.yaml_files import RETIRED, load_config_values
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.streams import write_product

NOTHING = ("null", "Null", "NULL", "~")
"""What YAML takes for nothing, and so do flags of options that may be nothing."""

CONFIG_HELP = "YAML file of options; flags after it win"

NAMES = ("columns", "drop", "missing")
"""Options that are lists of names in the data, also where one is ``null``."""

LISTS = tuple(f"--{name}" for name in (*NAMES, "column"))
"""Flags that hold a list: given twice, the first would be lost without a word."""


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of examples; shows a default unless it is None or the help tells it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        silent = action.default is None or action.default is False or action.default == argparse.SUPPRESS
        if silent or "(default" in text:
            return text
        return f"{text} (default: {action.default})"


class Parser(argparse.ArgumentParser):
    """A parser that raises InputError, in one line, rather than end the process.

    Args:
        description: What the command does.
        examples: Arguments that work.
        command: By which it is called, before the arguments.
    """

    def __init__(self, description: str, examples: Sequence[str], command: str) -> None:
        super().__init__(
            prog=Path(command).name,
            description=description,
            epilog="\n".join(["example:", *(f"  {command} {line}" for line in examples)]),
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise InputError, with the nearest flag for one that there is not."""
        message = " ".join(message.removeprefix("argument ").split())
        if message.startswith("unrecognized arguments: "):
            wrong = message.split()[2].partition("=")[0]
            message += _advice(wrong if wrong.startswith("--") else "", [*self.flags()])
        raise InputError(message)

    def flags(self) -> dict[str, argparse.Action]:
        """All long flags, and what they stand for."""
        return {flag: action for action in self._actions for flag in action.option_strings if flag.startswith("--")}

    def add_config(self) -> None:
        """Add ``--config``, a YAML file of options; flags after it override it."""
        self.add_argument("--config", action=_Config, metavar="FILE", help=CONFIG_HELP)

    def add_section(self, section: type, title: str, without: Iterable[str] = (), kind: str | None = None) -> None:
        """Add a flag for each option of a section.

        Args:
            section: A dataclass whose fields were made by `bgan_discrete.config.option`.
            title: Heading in the help.
            without: Options that get no flag.
            kind: Of the data: options of other kinds are not shown; None to show all.
        """
        group, hints = self.add_argument_group(title), get_type_hints(section)
        for entry in fields(section):
            if entry.name not in without:
                is_shown = kind is None or kind in entry.metadata["kinds"]
                add_option(group, entry, hints[entry.name], entry.metadata["help"] if is_shown else None)

    def values(self, argv: Sequence[str]) -> dict[str, Any]:
        """Parse a command line.

        Args:
            argv: Arguments.

        Returns:
            Names, with underscores, and values.

        Raises:
            InputError: If the command line is wrong, in one line.
        """
        given = [word.partition("=")[0] for word in argv]
        twice = next((flag for flag in LISTS if given.count(flag) > 1), None)
        if twice is not None:
            raise InputError(
                f"{twice} is given {given.count(twice)} times: give it once, with commas between its parts"
            )
        try:
            values = vars(self.parse_args(argv))
        except SystemExit:  # after --help, whose text is all that was asked for
            write_product("")
            raise
        except InputError:
            raise
        except (ValueError, OSError) as error:  # a name with a NUL, or one that is too long
            raise InputError(one_line(error)) from None
        for name in ("config", "given_kind"):  # which were used before the options were parsed
            values.pop(name, None)
        for name, value in values.items():
            if isinstance(value, str):
                check_text(f"--{name.replace('_', '-')}", value)
        return values


class _Config(argparse.Action):
    """Takes the options of a file as if their flags stood in its place."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, *_: Any) -> None:
        for name, found in load_config_values(Path(value).expanduser()).items():
            name = name.replace("-", "_")  # noqa: PLW2901
            known = {action.dest: action for action in parser._actions}
            if name not in known or name in ("config", "help"):
                names = [name for name in known if name != "help"]
                raise InputError(f"--config holds the unknown option {shown(name)}{_advice(name, names)}")
            setattr(namespace, name, found)


def add_option(group: Any, entry: "Field[Any]", hint: Any, text: str | None) -> None:
    """Add the flag of an option.

    Args:
        group: Where to.
        entry: The option's field.
        hint: Its type.
        text: Its help; None to hide it.
    """
    flag = f"--{entry.name.replace('_', '-')}"
    text = argparse.SUPPRESS if text is None else text.replace("%", "%%")
    if hint is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=entry.default, help=text)
    else:
        reads = reader(hint, entry.name not in NAMES)
        group.add_argument(flag, type=reads, default=entry.default, help=text, metavar=_metavar(hint))


def reader(hint: Any, reads_nothing: bool = True) -> Callable[[str], Any]:
    """What reads the value of a flag.

    Args:
        hint: Type of its option.
        reads_nothing: ``null`` is None where the option may be None.

    Returns:
        A function of the text, which raises argparse.ArgumentTypeError.
    """
    kinds = get_args(hint) if get_origin(hint) not in (None, Literal) else (hint,)

    values = [kind for kind in kinds if kind is not NoneType]

    def read(text: str) -> Any:
        if NoneType in kinds and reads_nothing and text in NOTHING:
            return None
        for kind in values:
            if get_origin(kind) is Literal:
                if text in get_args(kind):
                    return text
                continue
            try:
                return kind(text)
            except ValueError:
                continue
        raise argparse.ArgumentTypeError(f"expected {' or '.join(map(_wanted, values))}. Got value: {text[:200]}")

    return read


def _wanted(kind: Any) -> str:
    return f"one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else kind.__name__


def _metavar(hint: Any) -> str:
    """What follows a flag in the help: its choices, or the kind of its value."""
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    return "|".join(_metavar(kind) if get_origin(kind) else kind.__name__.upper() for kind in kinds)


def _advice(wrong: str, known: Sequence[str]) -> str:
    """For an option that there is not: what to do instead, or the one that is spelt nearly so."""
    name = wrong.removeprefix("--").removeprefix("no-").replace("-", "_")
    if name in RETIRED:
        return f"; this option is no more: {RETIRED[name]}"
    near = difflib.get_close_matches(wrong.replace("_", "-") if wrong[:2] == "--" else wrong, known, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else "; see --help"
