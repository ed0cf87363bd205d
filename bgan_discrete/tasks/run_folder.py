"""The folder of a run: what it holds, and who may write there."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bgan_discrete.durable import sync_folder
from bgan_discrete.errors import InputError
from bgan_discrete.training.checkpoint import find_checkpoint, list_checkpoints
from bgan_discrete.training.config import Sections, load_config_values


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in a run's folder.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def config(self) -> Path:
        """All options of the run, resolved."""
        return self.root / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One line of figures every ``log_interval`` steps."""
        return self.root / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        """The figures over the steps, as a picture."""
        return self.root / "curves.png"

    @property
    def grids(self) -> Path:
        """Samples of the same latents as training went."""
        return self.root / "samples"

    @property
    def samples(self) -> Path:
        """Samples of the finished model, as a picture."""
        return self.root / "samples.png"

    @property
    def lines(self) -> Path:
        """Samples of the finished model, as text."""
        return self.root / "samples.txt"

    @property
    def rows(self) -> Path:
        """Samples of the finished model, as rows of a table."""
        return self.root / "samples.csv"

    @property
    def report(self) -> Path:
        """The final metrics."""
        return self.root / "report.json"

    @property
    def page(self) -> Path:
        """The run's report for people, as HTML."""
        return self.root / "report.html"

    @property
    def facts(self) -> Path:
        """What the report says of the run and no other file holds: data, versions, nearest training data."""
        return self.root / "facts.json"

    @property
    def neighbours(self) -> Path:
        """Samples above the training images that are nearest to them."""
        return self.root / "neighbours.png"

    @property
    def checkpoints(self) -> Path:
        """The states to resume from."""
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        """The model: all that generating needs."""
        return self.root / "model"

    def grid(self, step: int) -> Path:
        """The sample grid of a step."""
        return self.grids / f"step-{step:07d}.png"

    def sample_lines(self, step: int) -> Path:
        """The text samples of a step."""
        return self.grids / f"step-{step:07d}.txt"

    def sample_rows(self, step: int) -> Path:
        """The rows of a step."""
        return self.grids / f"step-{step:07d}.csv"

    def parts(self) -> list[Path]:
        """Everything that a run writes, present or not."""
        files = [self.config, self.metrics, self.curves, self.samples, self.lines, self.rows, self.report]
        files += [self.page, self.facts, self.neighbours]
        return [*files, self.grids, self.checkpoints, self.model, self.root / "tensorboard"]

    def check_free(self, resume: bool, overwrite: bool) -> None:
        """Raise InputError if the folder holds another run that nobody said to resume or overwrite.

        Nothing is deleted here: `clear` does that, once the new run's input has been found good.

        Args:
            resume: The run goes on.
            overwrite: The run that is there may be deleted.
        """
        if resume and overwrite:
            raise InputError("resume and overwrite exclude each other: give one of --resume and --overwrite")
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"output_dir {str(self.root)!r} is a file; give a folder")
        if resume:
            if not self.config.is_file():
                raise InputError(f"resume finds no run in {str(self.root)!r}: there is no {self.config.name}")
            return
        held = [part.name for part in self.parts() if part.exists()]
        if held and not overwrite:
            raise InputError(
                f"output_dir {str(self.root)!r} holds another run ({', '.join(held[:3])}); "
                "give another folder, --resume latest or --overwrite"
            )

    def clear(self) -> None:
        """Delete the parts of the run that is there, and nothing else in the folder."""
        for part in self.parts():
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)
        if self.root.is_dir():
            # Else a power failure could bring the checkpoints of that run back beside the next one's configuration.
            sync_folder(self.root)

    def checkpoint_to_resume(self, which: str) -> Path | None:
        """The checkpoint that ``--resume`` names; None where the run was killed before it wrote one.

        Such a run begins anew. One that has left a model or a report had checkpoints, and lost them: that is an error.

        Args:
            which: ``"latest"``, or the path of a checkpoint.

        Raises:
            InputError: If there is none, or it cannot be used; see `bgan_discrete.training.checkpoint.find_checkpoint`.
        """
        has_begun = any(part.exists() for part in (self.model, self.report, *list_checkpoints(self.checkpoints)))
        if which == "latest" and not has_begun:
            return None
        return find_checkpoint(self.checkpoints, which)

    def saved_config(self, kind: type[Sections]) -> Sections:
        """The configuration of the run that is there, of the script that trained it.

        Raises:
            InputError: If there is none, or it cannot be used.
        """
        if not self.config.is_file():
            raise InputError(f"resume finds no run in {str(self.root)!r}: there is no {self.config.name}")
        try:
            return kind.from_flat(load_config_values(self.config))
        except InputError as error:
            raise InputError(f"{self.config}: {error}") from None
