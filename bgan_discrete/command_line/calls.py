"""What a verb was asked: the kind of the data that it is about, and the options of runs that are there already."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from bgan_discrete.command_line.flags import Parser
from bgan_discrete.config import CONFIGS, ScriptConfig, folder_of_run, folder_of_start, load_config_values
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.streams import say


@dataclass(frozen=True)
class Call:
    """A verb with its arguments.

    Attributes:
        verb: Its name.
        argv: What follows it.
        kind: Of the data, where it is fixed; None where it is found.
        command: By which it was called, for examples.
    """

    verb: str
    argv: Sequence[str] = ()
    kind: str | None = None
    command: str = "bgan"

    @property
    def given_kind(self) -> str | None:
        """The fixed kind, or that of ``--kind``; None where it is to be found."""
        kind = self.kind or self.value("--kind")
        if kind is not None and kind not in CONFIGS:
            raise InputError(f"--kind must be one of {', '.join(CONFIGS)}, got {kind!r}")
        return kind

    def asks(self, *flags: str) -> bool:
        """Whether one of these flags is among the arguments."""
        return any(flag in self.argv for flag in flags)

    def value(self, flag: str) -> str | None:
        """The value of a flag, whatever else the arguments are; None if it is not there."""
        found = None
        for word, following in zip(self.argv, [*self.argv[1:], ""], strict=False):
            name, has_value, value = word.partition("=")
            if name == flag:
                found = value if has_value else following
        return found

    def options(self) -> dict[str, Any]:
        """Names of the options among the arguments and in their file; values only of those in the file."""
        path = self.value("--config")
        values = {} if path is None else load_config_values(Path(path).expanduser())
        flags = [word.partition("=")[0].removeprefix("--") for word in self.argv if word.startswith("--")]
        names = {flag.removeprefix("no-").replace("-", "_") for flag in flags}
        given = dict.fromkeys(names - {"config", "kind", "help", "help_all"})
        return given | {name.replace("-", "_"): value for name, value in values.items()}


def kind_of_training(call: Call) -> str:
    """The kind of the run that is resumed or that a training starts from, or of its data."""
    from bgan_discrete.kinds import finding

    start = call.value("--start-from")
    if call.value("--resume") is not None:
        folder = call.value("--output-dir")
        if folder is None:
            raise InputError("--resume needs --output-dir, the folder of the run")
        return finding.kind_of_run(folder)
    if start is not None:
        run = folder_of_start(start)
        return finding.kind_of_model(start) if run is None else finding.kind_of_run(run)
    return kind_of_data(call)


def kind_of_data(call: Call) -> str:
    """The kind of the data that a call names, or of its options."""
    from bgan_discrete.kinds import finding

    options = call.options()
    dataset = call.value("--dataset") or options.get("dataset")
    if "column" in options:
        # Of a table it gives kinds of columns, of texts and images it names one.
        column = str(call.value("--column") or options["column"])
        is_of_table = "=" in column or column.lower().endswith(".json")
        options["columns" if is_of_table else "split"] = options.pop("column")
    if isinstance(dataset, str):
        return finding.kind_of_dataset(dataset, options)
    kinds = finding.kinds_with(options)
    if len(kinds) != 1:
        known = {name for config in CONFIGS.values() for name in config().to_flat()}
        for name in options.keys() - known:
            (near,) = difflib.get_close_matches(name, known, n=1) or ("",)
            advice = f"; did you mean --{near.replace('_', '-')}?" if near else ""
            raise InputError(f"unrecognized arguments: --{name.replace('_', '-')}{advice}")
        raise InputError("--dataset must be given: a file, a folder, an id of the Hub, or a name such as digits")
    return kinds[0]


def kind_of_model(call: Call) -> str:
    """The kind of the model that a call names."""
    from bgan_discrete.kinds import finding

    model = call.value("--model")
    if model is None:
        raise InputError("--model must be given: the 'model' folder of a run, or the id of a model on the Hub")
    return finding.kind_of_model(model, call.value("--revision"))


def section_of(kind: str, name: str) -> type:
    """The class of a section of a kind's configuration."""
    (section,) = (entry for entry in fields(CONFIGS[kind]) if entry.name == name)
    found: type = section.default_factory  # type: ignore[assignment]
    return found


def options_of(kind: str) -> dict[str, tuple["Field[Any]", Any]]:
    """Field and type of each option of a kind's trainings, by its name."""
    sections = [section_of(kind, entry.name) for entry in fields(CONFIGS[kind])]
    hints = [get_type_hints(section) for section in sections]
    return {
        entry.name: (entry, types[entry.name])
        for section, types in zip(sections, hints, strict=True)
        for entry in fields(section)
    }


def parse_training(parser: Parser, argv: Sequence[str], kind: str) -> ScriptConfig:
    """Parse the command line of a training; with ``--resume``, on top of the options that the run began with.

    With ``--start-from``, on top of those of the run that it names.

    Args:
        parser: With the sections of the configuration.
        argv: Arguments.
        kind: Of the data.

    Returns:
        The configuration, checked.

    Raises:
        InputError: If the command line is wrong, or there is no run to resume, in one line.
    """
    config, values = CONFIGS[kind], parser.values(argv)
    folder: Path | None = Path(values["output_dir"])
    if values["resume"] is not None:
        if not (Path(values["output_dir"]) / "config.yaml").is_file():
            raise InputError(f"--resume finds no run in {values['output_dir']!r}: there is no config.yaml")
    else:
        folder = None if values["start_from"] is None else folder_of_start(values["start_from"])
    if folder is not None:
        options = load_config_values(folder / "config.yaml")
        _check_kind(options, kind, str(folder))
        began = config.from_flat(options).to_flat()
        # How a run was started says nothing about how it goes on.
        kept = {name: value for name, value in began.items() if name not in ("output_dir", "resume", "overwrite")}
        parser.set_defaults(**kept)
        values = parser.values(argv)
    return config.from_flat(values)


def _check_kind(options: dict[str, Any], kind: str, folder: str) -> None:
    """Raise InputError for the options of a run on another kind of data."""
    if options.keys() <= CONFIGS[kind]().to_flat().keys():
        return
    for other, config in CONFIGS.items():
        if options.keys() <= config().to_flat().keys():
            script = config.front.script
            raise InputError(f"folder {folder!r} holds a run on {other}: resume it by bgan train or {script}")


def parse_evaluation(parser: Parser, argv: Sequence[str], kind: str) -> dict[str, Any]:
    """Parse the command line of an evaluation; the data are read as the run of the model read them.

    A model in the folder of its run is evaluated with the run's data, unless ``--dataset`` names others; flags that are
    given override. What is taken from there is reported.

    Args:
        parser: With the flags of the model and of the data.
        argv: Arguments.
        kind: Of the data.

    Returns:
        As from `Parser.values`.

    Raises:
        InputError: As from `Parser.values`.
    """
    values, section = parser.values(argv), section_of(kind, "data")
    try:
        saved = folder_of_run(values["model"]) / "config.yaml"
        if not saved.is_file():
            return values
        options = CONFIGS[kind].from_flat(load_config_values(saved)).to_flat()
    except (InputError, OSError, ValueError) as error:  # another program's file is no matter, but that of a run is
        if values["dataset"] == section().dataset:
            reason = one_line(error)
            say(f"data by this command's options alone; the run beside the model is not read: {reason}")
        return values
    # What the model's samples are is asked of the model, and where they go is this command's own matter.
    taken = {name: options[name] for name in values.keys() & {entry.name for entry in fields(section)}}
    parser.set_defaults(**taken)
    again = parser.values(argv)
    if os.path.realpath(again["dataset"]) != os.path.realpath(taken["dataset"]):
        return values
    used = [f"{name} {again[name]!r}" for name in values if again[name] != values[name]]
    if used:
        say(f"data as the run had them ({saved}): {', '.join(used)}")
    return again
