"""All options of a training script, and those that say where it writes and what it does at its end."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from bgan_discrete.config.checks import shown
from bgan_discrete.config.option import Section, option
from bgan_discrete.config.targets import AFTER_LIKELIHOOD, PHASES_WITH_TARGET, WITH_TARGET, TargetConfig
from bgan_discrete.config.yaml_files import check_retired
from bgan_discrete.durable import replace_text
from bgan_discrete.errors import InputError

CODEC_OPTIONS = (
    "codec", "num_categories", "stochastic", "tokenizer", "vocabulary_size", "length", "layout", "bins",
    "max_categories", "rare", "missing", "columns", "drop",
)  # fmt: skip
"""What codes mean, of any kind of data: kept by a run that starts from another."""


def codec_options(kind: str) -> tuple[str, ...]:
    """`CODEC_OPTIONS` of a kind of data: of arrays ``column`` too, which says elsewhere where the data are."""
    return (*CODEC_OPTIONS, "column") if kind == "arrays" else CODEC_OPTIONS


Sections = TypeVar("Sections", bound="ScriptConfig")


@dataclass(frozen=True)
class RunConfig(Section):
    """Where a run writes, and what it does at its end."""

    output_dir: str = option("runs/images", "folder of the run", free=True)
    resume: str | None = option(None, "'latest' or a checkpoint of this run: resume from there", free=True)
    start_from: str | None = option(
        None,
        "a run's folder, a checkpoint or a model folder: begin a new run with its weights; options that are not given "
        "are as in that run",
        free=True,
    )
    overwrite: bool = option(False, "delete what another run wrote into output_dir", free=True)
    num_samples: int = option(2000, "samples of the final metrics; 0 leaves the metrics out", low=0, free=True)

    def check(self) -> None:
        """Raise InputError for the first value that is out of range."""
        super().check()
        if not self.output_dir.strip():
            raise InputError(f"output_dir must name a folder, got {self.output_dir!r}")


@dataclass(frozen=True)
class Front:
    """What the program says of a kind of data that its options do not.

    Attributes:
        kind: Its name, to which options of several kinds belong.
        script: That trains on it alone.
        output: Where samples go that are given no file, if there is none of this name yet; None for stdout.
        output_help: Files that samples can be written into.
        num_generated: Samples that are drawn if no number is given.
        num_evaluated: Likewise for an evaluation.
        generating: Flags of its own for generating, with the arguments of ``add_argument``.
        evaluating: Likewise for an evaluation.
    """

    kind: str
    script: str
    output: str | None
    output_help: str
    num_generated: int
    num_evaluated: int
    generating: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evaluating: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ScriptConfig:
    """All options of a training of one kind of data, in sections whose fields have distinct names."""

    front: ClassVar[Front]

    @classmethod
    def from_flat(cls: type[Sections], values: dict[str, Any]) -> Sections:
        """The checked configuration of the fields that `to_flat` gives; what is absent keeps its default.

        Raises InputError if a key is unknown or a value out of range.
        """
        if not isinstance(values, dict):
            raise InputError(f"a configuration must map option names to values, got {shown(values)}")
        sections = {}
        known = set()
        for section in fields(cls):
            section_class: type = section.default_factory  # type: ignore[assignment]
            names = {f.name for f in fields(section_class)}
            known |= names
            sections[section.name] = section_class(**{k: v for k, v in values.items() if k in names})
        unknown = sorted(set(values) - known, key=str)
        for name in unknown:
            check_retired(name)
        if unknown:
            near = difflib.get_close_matches(str(unknown[0]), known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise InputError(f"unknown configuration key {shown(unknown[0])}; {advice}")
        config = cls(**sections)
        config.check()
        return config

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, before any work starts."""
        for section in fields(self):
            values = vars(self)[section.name]
            values.check()
            for entry in fields(values):
                self._check_kind(entry, vars(values)[entry.name])

    def _check_kind(self, entry: "Field[Any]", value: Any) -> None:
        kinds = entry.metadata["kinds"]
        if self.front.kind not in kinds and value != entry.default:
            raise InputError(f"{entry.name} is for {' and '.join(kinds)}; leave it out, got {value!r}")

    @property
    def phases(self) -> str:
        """The phases of the training, with ``auto`` decided; by default the game alone."""
        values: dict[str, Any] = self.to_flat()
        return str({"auto": "game"}.get(values["phases"], values["phases"]))

    def _with_target(self, phases: str) -> str:
        """Phases that begin with likelihood, as they are by default where draws are weighed by a target too."""
        target: TargetConfig = vars(self)["target"]
        return PHASES_WITH_TARGET if target.is_set and target.target_form != "weighted" else phases

    def aimed(self: Sections) -> Sections:
        """The configuration of a run whose draws are weighed by a target, where defaults would not go with that."""
        values: dict[str, Any] = vars(self)
        target, training = values["target"], values["training"]
        if not target.is_set or target.target_form == "weighted":
            return self
        defaults = {entry.name: entry.default for entry in fields(training)}
        options = WITH_TARGET | (AFTER_LIKELIHOOD if "likelihood" in self.phases else {})
        changes = {name: value for name, value in options.items() if vars(training)[name] == defaults[name]}
        return type(self)(**{**values, "training": dataclasses.replace(training, **changes)})

    def to_flat(self) -> dict[str, Any]:
        """One dictionary of all fields, in the order of the sections."""
        return {k: v for section in dataclasses.asdict(self).values() for k, v in section.items()}

    def differences(self, other: "ScriptConfig") -> list[str]:
        """What stands in the way of resuming a run of ``other``: ``name: theirs -> ours`` of what is not free."""
        mine, theirs = self.to_flat(), other.to_flat()
        free = {f.name for section in fields(self) for f in fields(section.default_factory) if f.metadata["free"]}  # type: ignore[arg-type]
        if mine["lr_decay"] == "none" and "," not in self.phases:
            free.add("max_seconds")
            # The looks of a judge are at tenths of the budget.
            free |= {"max_steps"} if mine["keep"] == "last" or mine["continuous"] != "none" else set()
        return [f"{k}: {theirs[k]} -> {mine[k]}" for k in mine if k not in free and mine[k] != theirs[k]]

    def save(self, path: str | Path) -> None:
        """Write the configuration as YAML; the file appears whole or not at all."""
        replace_text(Path(path), yaml.safe_dump(self.to_flat(), sort_keys=False, allow_unicode=True))
