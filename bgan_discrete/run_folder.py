"""The folder of a run: what it holds, and who may write there."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bgan_discrete.config import EMBEDDED, Sections, folder_of_run, load_config_values, read_config_values
from bgan_discrete.durable import remove_empty, sync_folder
from bgan_discrete.errors import InputError
from bgan_discrete.publishing.card import remove_card
from bgan_discrete.sources.settings import existing
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints

LOCK_FILE = ".run.lock"
SAMPLE_SUFFIXES = (".png", ".txt", ".csv")
"""Pictures, lines of text, rows."""

_WRITTEN = re.compile(
    r"samples/step-\d{7,}\.(png|txt|csv)"
    r"|checkpoints/(\.replaced-)?step-\d{8,}(\.pt|/(state\.pt|manifest\.json))?"
    r"|model/(config|codec|manifest)\.json|model/model\.safetensors"
    r"|tensorboard/events\.out\.tfevents\.[^/]+"
    r"|(checkpoints|model)/\.(writing|removing)-[0-9a-f]{8}(\.pt|/[^/]+)?"
    r"|\w+/\.[^/]+\.[0-9a-f]{8}\.tmp"
)
"""What runs write in the folders of a run's folder, their leftovers among it; a model's card is known by its seal."""


class RunFolder:
    """Names of what a run writes into its folder.

    ``grids`` are samples of the same latents over the training; ``facts`` is what the report says and no other file
    holds. The configuration is the last of ``files``: as long as it is there, the folder is that of a run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config, self.metrics, self.curves = root / "config.yaml", root / "metrics.jsonl", root / "curves.png"
        self.report, self.page, self.facts = root / "report.json", root / "report.html", root / "facts.json"
        self.grids, self.checkpoints, self.model = root / "samples", root / "checkpoints", root / "model"
        self.neighbours, self.rounds = root / "neighbours.png", root / "rounds.png"
        self.files = [self.metrics, self.curves, *map(self.samples, SAMPLE_SUFFIXES), self.report, self.page]
        self.files += [self.facts, self.neighbours, self.rounds, self.config]
        self.folders = [self.grids, self.checkpoints, self.model, root / "tensorboard"]

    def samples(self, suffix: str) -> Path:
        """The file with samples of the finished model: of a kind of `SAMPLE_SUFFIXES`."""
        return self.root / f"samples{suffix}"

    def samples_of(self, step: int, suffix: str) -> Path:
        """The file of a step's samples; its suffix is one of `SAMPLE_SUFFIXES`."""
        return self.grids / f"step-{step:07d}{suffix}"

    def parts(self) -> list[Path]:
        """Everything that a run writes, present or not."""
        return [*self.files, *self.folders]

    def holds_run(self) -> bool:
        """Whether there is the configuration of a run."""
        with suppress(InputError):
            return read_config_values(self.config).keys() >= {"dataset", "output_dir", "max_steps"}
        return False

    def check_free(self, resume: bool, overwrite: bool) -> None:
        """Raise InputError if the folder holds another run that nobody said to resume or overwrite, or no run's files.

        Nothing is deleted here: `clear` does that, once the new run's input has been found good.
        """
        if resume and overwrite:
            raise InputError("resume and overwrite exclude each other: give one of --resume and --overwrite")
        if resume:
            return
        held = [part.name for part in self.parts() if os.path.lexists(part)]
        named = f"output_dir {str(self.root)!r} holds"
        if held and not self.holds_run():
            raise InputError(f"{named} {', '.join(held[:3])} and no {self.config.name} of a run: give another folder")
        if held and not overwrite:
            raise InputError(
                f"{named} another run ({', '.join(held[:3])}); give another folder, --resume latest or --overwrite"
            )
        for part in self.parts():
            is_folder = part in self.folders
            if (part.exists() and part.is_dir() != is_folder) or (is_folder and part.is_symlink()):
                raise InputError(f"{named} {part.name!r} as a link or not as a run writes it: give another folder")

    def clear(self) -> list[str]:
        """Delete what the run that is there has written, and follow no link; returns the paths of what stays."""
        kept = []
        remove_card(self.model)
        for part in (folder for folder in self.folders if not folder.is_symlink()):
            for place, folders, files in os.walk(part, topdown=False):
                for path in (Path(place, name) for name in (*files, *folders)):
                    is_folder = path.is_dir() and not path.is_symlink()
                    is_own = _WRITTEN.fullmatch(path.relative_to(self.root).as_posix()) is not None
                    if is_own and not is_folder:
                        path.unlink()
                    elif is_own:
                        remove_empty([path])
                    elif not is_folder:
                        kept.append(path.relative_to(self.root).as_posix())
            remove_empty([part])
        for part in self.files:
            part.unlink(missing_ok=True)
        if self.root.is_dir():
            # Else a power failure could bring the checkpoints of that run back beside the next one's configuration.
            sync_folder(self.root)
        return sorted(kept)

    def check_apart(self, options: Mapping[str, Any]) -> None:
        """Raise InputError if a run of these options would write into its data or over them, or into another run."""
        root = Path(os.path.realpath(self.root))
        for outer in map(RunFolder, root.parents):
            if any(root.is_relative_to(part) for part in outer.folders) and outer.holds_run():
                raise InputError(
                    f"output_dir {str(self.root)!r} is inside the run in {str(outer.root)!r}: give another folder"
                )
        for name, data in places_of_data(options):
            written = [part for part in self.parts() if data.is_relative_to(os.path.realpath(part))]
            if root.is_relative_to(data) or written:
                raise InputError(
                    f"output_dir {str(self.root)!r} must be apart from {name} {str(options[name])!r}: one would be "
                    "written into the other; give another folder"
                )

    def checkpoint_to_resume(self, which: str) -> Path | None:
        """The checkpoint of ``"latest"`` or a path; None, to begin anew, where the run was killed before it wrote one.

        A run that has left a model or a report had checkpoints, and lost them: that is an error, as in
        `find_checkpoint`.
        """
        has_begun = any(part.exists() for part in (self.model, self.report, *list_checkpoints(self.checkpoints)))
        if which == "latest" and not has_begun:
            return None
        if which != "latest" and Path(which).resolve().parent != self.checkpoints.resolve():
            raise InputError(
                f"resume must name 'latest' or a checkpoint in {str(self.checkpoints)!r}, got {which!r}; a new run "
                "begins with the weights of another by --start-from"
            )
        return find_checkpoint(self.checkpoints, which)

    def saved_config(self, kind: type[Sections]) -> Sections:
        """The configuration of the run that is there; raises InputError if it is missing or cannot be used."""
        if not self.config.is_file():
            raise InputError(f"resume finds no run in {str(self.root)!r}: there is no {self.config.name}")
        try:
            return kind.from_flat(load_config_values(self.config))
        except InputError as error:
            raise InputError(f"{self.config}: {error}") from None


def places_of_data(options: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Options that name data, and the files or folders that they lead to."""
    named = {name: options[name] for name in ("dataset", "holdout") if isinstance(options.get(name), str)}
    paths = [(name, existing(text)) for name, text in named.items() if text and text not in EMBEDDED]
    return [(name, Path(os.path.realpath(path))) for name, path in paths if path is not None]


def check_output(output: Path | None, model: str | Path, options: Mapping[str, Any] | None = None) -> None:
    """Raise InputError if an output would replace a file of the model, of its run, or data of the run or of options."""
    run, owned = RunFolder(folder_of_run(model)), [Path(model)]
    owned += [place for _, place in places_of_data(options or {})]
    if run.holds_run():
        owned += [*run.parts(), *(place for _, place in places_of_data(read_config_values(run.config)))]
    if output is not None and any(Path(os.path.realpath(output)).is_relative_to(os.path.realpath(p)) for p in owned):
        raise InputError(f"output {str(output)!r} is a file of the model, of its run or of the data; give another name")
