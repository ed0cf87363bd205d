"""What every experiment shares: its parts, kept as they end; its tables and figures; its data.

An experiment is a module with ``TITLE``, ``QUESTION``, ``SCALES`` (name -> settings, a frozen dataclass),
``parts(settings)``, ``run(settings, ..., data_dir)`` for one part, and ``report(settings, results)``. A part is one
training or one measurement, with a seed; its result is plain JSON. The report is made of the parts' results alone.
"""

import dataclasses
import importlib
import json
import math
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bgan_discrete import __version__
from bgan_discrete.codecs import CodecOptions
from bgan_discrete.distributions.sampling import sample_latents
from bgan_discrete.errors import BGANError, InputError
from bgan_discrete.game.players import Players
from bgan_discrete.imaging import image_grid
from bgan_discrete.sources import ImageData, load_images
from bgan_discrete.training.batches import BatchOrder

EXPERIMENTS = ("variance", "toys", "classifier", "divergences", "palette", "rivals", "continuous", "boundary")
SCALE_NAMES = ("smoke", "cpu", "full")


@dataclass(frozen=True)
class Part:
    """One piece of work of an experiment.

    Attributes:
        name: Of its file; letters, digits and ``_.-``.
        arguments: What ``run`` is called with, beside the settings; plain types.
    """

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Figures in rows and columns.

    Attributes:
        title: What stands above it.
        columns: Names, the first that of the rows.
        rows: Cells, as strings.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


@dataclass(frozen=True)
class Report:
    """What an experiment found.

    Attributes:
        tables: In their order.
        findings: Sentences that the figures themselves decide, such as whether an ordering held.
        figures: Name of a file -> what writes it.
        values: The tables' numbers, for programs.
    """

    tables: Sequence[Table]
    findings: Sequence[str]
    figures: dict[str, Callable[[Path], None]]
    values: dict[str, Any] = field(default_factory=dict)


def load_experiment(name: str) -> ModuleType:
    """The module of an experiment."""
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r} is unknown; choose one of {', '.join(EXPERIMENTS)}")
    return importlib.import_module(f"experiments.{name}")


def run_experiment(
    name: str, scale: str, output_dir: Path, data_dir: Path | None, workers: int, command: Sequence[str]
) -> Path:
    """Run what is not there yet of an experiment, and write its report.

    Args:
        name: One of `EXPERIMENTS`.
        scale: One of `SCALE_NAMES`.
        output_dir: Where parts, tables and figures are kept.
        data_dir: Folder of local data; None for the Hub.
        workers: Processes side by side, each on one thread; 1 for none beside this one.
        command: What was typed, for the report.

    Returns:
        The report's path, ``output_dir/report.md``.

    Raises:
        InputError: If a name is unknown, data are missing, or ``output_dir`` holds parts of other settings.
    """
    experiment = load_experiment(name)
    if scale not in SCALE_NAMES:
        raise InputError(f"scale must be one of {', '.join(SCALE_NAMES)}, got {scale!r}")
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    settings = experiment.SCALES[scale]
    if hasattr(experiment, "check_data"):
        try:
            experiment.check_data(settings, data_dir)
        except InputError as error:
            if data_dir is not None:
                raise
            raise InputError(
                f"{error}; with the files at hand give --data-dir, a folder with mnist/ and cifar10/ (train.parquet "
                "and test.parquet of the Hub's ylecun/mnist and uoft-cs/cifar10) and captions/ (train.txt and test.txt)"
            ) from None
    _claim(output_dir, name, scale, settings, data_dir)
    planned = experiment.parts(settings)
    results = _run_parts(name, scale, planned, output_dir / "parts", data_dir, workers)
    report: Report = experiment.report(settings, {part.name: result["result"] for part, result in results})
    seconds = sum(result["seconds"] for _, result in results)
    _write(output_dir, experiment, settings, scale, report, seconds, workers, command)
    return output_dir / "report.md"


def _claim(output_dir: Path, name: str, scale: str, settings: Any, data_dir: Path | None = None) -> None:
    """Refuse a folder that holds another experiment; note what this one is."""
    path = output_dir / "settings.json"
    data = "" if data_dir is None else str(data_dir.resolve())
    settings_now = {**dataclasses.asdict(settings), "data_dir": data, "version": __version__}
    mine = json.loads(json.dumps({"experiment": name, "scale": scale, "settings": settings_now}))
    if path.is_file():
        try:
            theirs = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise InputError(f"output_dir holds a file settings.json that cannot be read: {str(path)!r}") from None
        if theirs != mine:
            changed = _difference(theirs, mine)
            raise InputError(
                f"output_dir {str(output_dir)!r} holds parts of another experiment ({changed}); name a new one"
            )
        return
    if output_dir.is_dir() and any(output_dir.iterdir()):
        raise InputError(
            f"output_dir must be a new or empty folder, or one of this experiment, got {str(output_dir)!r}"
        )
    (output_dir / "parts").mkdir(parents=True, exist_ok=True)
    _write_json(path, mine)


def _difference(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    for key in ("experiment", "scale"):
        if theirs.get(key) != mine[key]:
            return f"{key} {theirs.get(key)!r}, not {mine[key]!r}"
    old, new = dict(theirs.get("settings") or {}), mine["settings"]
    for key in {**new, **old}:
        if key not in old or key not in new or old[key] != new[key]:
            return f"{key} {old.get(key, 'absent')!r}, not {new.get(key, 'absent')!r}"
    return "other keys"


def _run_parts(
    name: str, scale: str, planned: Sequence[Part], folder: Path, data_dir: Path | None, workers: int
) -> list[tuple[Part, dict[str, Any]]]:
    folder.mkdir(parents=True, exist_ok=True)
    missing = [part for part in planned if not (folder / f"{part.name}.json").is_file()]
    if len(missing) < len(planned):
        print(f"{len(planned) - len(missing)} of {len(planned)} parts are there already", flush=True)
    tasks = [(name, scale, part, folder, data_dir) for part in missing]
    if workers == 1:
        torch.set_num_threads(1)
        for number, task in enumerate(tasks, 1):
            _say(number, len(tasks), _run_part(*task))
    else:
        with ProcessPoolExecutor(min(workers, len(tasks)) or 1, get_context("spawn"), _start_worker) as pool:
            futures = [pool.submit(_run_part, *task) for task in tasks]
            try:
                for number, future in enumerate(as_completed(futures), 1):
                    _say(number, len(tasks), future.result())
            except BrokenProcessPool:
                raise BGANError("a worker was killed, perhaps for want of memory; the same command goes on") from None
            finally:
                # What runs ends and is kept; what waits does not begin.
                pool.shutdown(wait=False, cancel_futures=True)
    return [(part, json.loads((folder / f"{part.name}.json").read_text(encoding="utf-8"))) for part in planned]


def _start_worker() -> None:
    """A worker's settings; Ctrl-C is for the process that started it, whose end is the worker's too."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_part(name: str, scale: str, part: Part, folder: Path, data_dir: Path | None) -> tuple[str, float]:
    experiment = load_experiment(name)
    started = time.perf_counter()
    result = experiment.run(experiment.SCALES[scale], **part.arguments, data_dir=data_dir)
    seconds = time.perf_counter() - started
    _write_json(folder / f"{part.name}.json", {"seconds": round(seconds, 2), "result": result})
    return part.name, seconds


def _say(number: int, count: int, done: tuple[str, float]) -> None:
    print(f"part {number} of {count}: {done[0]}, {done[1]:.0f} s", flush=True)


def _plain(value: Any) -> Any:
    """The same with None where a number is inf or NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(path: Path, value: Any) -> None:
    """Write at once or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(_plain(value), allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _write(
    output_dir: Path,
    experiment: ModuleType,
    settings: Any,
    scale: str,
    report: Report,
    seconds: float,
    workers: int,
    command: Sequence[str],
) -> None:
    values = dataclasses.asdict(settings)
    lines = [f"# {experiment.TITLE}", "", experiment.QUESTION.format(**values), ""]
    for table in report.tables:
        lines += [f"**{table.title}**", "", table.markdown(), ""]
    lines += [f"- {finding}" for finding in report.findings]
    lines.append("")
    for name, draw in report.figures.items():
        draw(output_dir / name)
        if (output_dir / name).is_file():
            lines += [f"![{name}]({name})", ""]
    typed = " ".join(command)
    lines += [
        f"Scale `{scale}`, {settings.seeds} seeds; `{typed}`; {seconds:.0f} s of work in {workers} "
        f"process{'es' if workers > 1 else ''} on {os.cpu_count()} cores ({platform.machine()}), torch "
        f"{torch.__version__}.",
        "",
        f"Settings: {', '.join(f'{key} {value}' for key, value in values.items())}.",
        "",
    ]
    (output_dir / "report.md").write_text("\n".join(lines), encoding="utf-8")
    _write_json(
        output_dir / "results.json",
        {
            "experiment": experiment.__name__.split(".")[-1],
            "scale": scale,
            "settings": values,
            "tables": [dataclasses.asdict(table) for table in report.tables],
            "findings": list(report.findings),
            "values": report.values,
            "seconds": seconds,
            "command": list(command),
            "version": __version__,
            "torch": torch.__version__,
        },
    )


@dataclass
class Match:
    """What a training needs: data, both players and randomness.

    Attributes:
        codes: Integers ``[S, *event_shape]``.
        players: Both networks, each moved by Adam.
        order: Of the batches.
        rng: Of latents and draws.
        latent_size: Z.
    """

    codes: Tensor
    players: Players
    order: BatchOrder
    rng: torch.Generator
    latent_size: int = 1

    def rows(self, count: int) -> Tensor:
        """Which samples batch number ``count`` holds."""
        return torch.from_numpy(self.order.indices(count))

    def real(self, count: int) -> Tensor:
        """Codes of batch number ``count``."""
        return self.codes[self.rows(count)]

    def latents(self, count: int) -> Tensor:
        """So many fresh latents, ``[count, Z]``."""
        return sample_latents(count, self.latent_size, "normal", self.rng)


def start_match(
    codes: Any,
    networks: tuple[nn.Module, nn.Module],
    *,
    rates: tuple[float, float],
    betas: tuple[float, float],
    batch_size: int,
    latent_size: int = 1,
    seed: int = 0,
    score_chunk: int | None = None,
) -> Match:
    """Players, batches and randomness of a training.

    Args:
        codes: Integers ``[S, *event_shape]``, an array.
        networks: Generator and discriminator.
        rates: Their learning rates.
        betas: Of both Adams.
        batch_size: N.
        latent_size: Z.
        seed: Of batches, latents and draws.
        score_chunk: The most samples that the discriminator scores at once; None for all of them.
    """
    generator_optimizer, discriminator_optimizer = (
        torch.optim.Adam(network.parameters(), rate, betas, fused=True)
        for network, rate in zip(networks, rates, strict=True)
    )
    return Match(
        torch.from_numpy(np.ascontiguousarray(codes)),
        Players(*networks, generator_optimizer, discriminator_optimizer, score_chunk=score_chunk),
        BatchOrder(len(codes), batch_size, seed),
        torch.Generator().manual_seed(seed),
        latent_size,
    )


def load_mnist(data_dir: Path | None, codec: CodecOptions, side: int = 28, limit: int | None = None) -> ImageData:
    """MNIST of the data folder or the Hub, resized, in the codes of a codec."""
    source = image_file(data_dir, "mnist", "ylecun/mnist")
    return load_images(source, codec=codec, resize=None if side == 28 else str(side), limit=limit)


def mean_and_spread(values: Iterable[float], digits: int = 3) -> str:
    """``mean ± standard deviation`` over seeds (of the sample, with n - 1), as a cell."""
    found = np.array(list(values), dtype=np.float64)
    if not len(found) or not np.isfinite(found).any():
        return "-"
    if not np.isfinite(found).all():
        return f"{np.nanmean(found[np.isfinite(found)]):.{digits}f} ({np.isfinite(found).sum()} of {len(found)} finite)"
    spread = found.std(ddof=1) if len(found) > 1 else math.nan
    return f"{found.mean():.{digits}f} ± {spread:.{digits}f}"


def figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """An empty figure and its panels ``[rows, columns]``."""
    # The object interface: pyplot would choose a window system and keep figures in a global list.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, squeeze=False)


def draw_curves(
    path: Path,
    panels: Sequence[Any],
    columns: int = 2,
) -> None:
    """Write curves over seeds: thin lines of each, a thick one of their mean.

    Args:
        path: The PNG.
        panels: For each: title, name of the x axis, name of the y axis, and label -> the (x, y) of each seed; then
            possibly whether its y axis is logarithmic.
        columns: Panels side by side.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    made, axes = figure(rows, columns, (5.5 * columns, 3.8 * rows))
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    for axis, (title, x_name, y_name, lines, *rest) in zip(axes.flat, panels, strict=False):
        for number, (label, seeds) in enumerate(lines.items()):
            color = f"C{number % 10}"
            style = "-" if number < 10 else "--"
            for x, y in seeds:
                axis.plot(x, np.array(y, dtype=np.float64), color=color, alpha=0.25, linewidth=0.8, linestyle=style)
            length = min(len(x) for x, _ in seeds)
            mean = np.mean([np.array(y[:length], dtype=np.float64) for _, y in seeds], axis=0)
            position = np.mean([x[:length] for x, _ in seeds], axis=0)
            axis.plot(position, mean, color=color, linewidth=1.8, linestyle=style, label=label)
        axis.set_title(title)
        axis.set_xlabel(x_name)
        axis.set_ylabel(y_name)
        if rest and rest[0]:
            axis.set_yscale("log")
        axis.grid(alpha=0.25)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=7)
    made.savefig(path, dpi=110)


def draw_points(
    path: Path, panels: Sequence[tuple[str, str, str, dict[str, list[tuple[float, float]]]]], columns: int = 2
) -> None:
    """Write points, a colour a label, on logarithmic y axes; arguments as in `draw_curves`, without seeds."""
    columns = min(columns, len(panels))
    made, axes = figure(-(-len(panels) // columns), columns, (5.5 * columns, 3.8 * -(-len(panels) // columns)))
    for axis, (title, x_name, y_name, points) in zip(axes.flat, panels, strict=False):
        for number, (label, found) in enumerate(points.items()):
            axis.scatter(
                [x + 0.15 * (number - 1) for x, _ in found], [y for _, y in found], s=18, alpha=0.7, label=label
            )
        if any(points.values()):
            axis.set_yscale("log")
        axis.set_title(title)
        axis.set_xlabel(x_name)
        axis.set_ylabel(y_name)
        axis.grid(alpha=0.25)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=7)
    made.savefig(path, dpi=110)


def draw_images(path: Path, rows: dict[str, np.ndarray], columns: int = 8) -> None:
    """Write named grids of images side by side.

    Args:
        path: The PNG.
        rows: Name -> grey ``[n, H, W]`` or RGB ``[n, H, W, 3]``, 0 to 255.
        columns: Images in a row of a grid.
    """
    if not rows:
        return
    across = min(4, len(rows))
    down = -(-len(rows) // across)
    made, axes = figure(down, across, (3.2 * across, 2.0 * down + 0.4))
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, images) in zip(axes.flat, rows.items(), strict=False):
        grid = image_grid(images.astype(np.uint8), columns)
        axis.imshow(grid, interpolation="nearest", cmap="gray", vmin=0, vmax=255)
        axis.set_title(name, fontsize=9)
    made.savefig(path, dpi=130)


def image_file(data_dir: Path | None, name: str, hub_id: str) -> str:
    """What to give as a data set of images: the local folder, or the Hub's id.

    Args:
        data_dir: Folder that holds ``NAME/train.parquet`` and ``NAME/test.parquet``; None for the Hub.
        name: ``mnist``, ``cifar10``, ...
        hub_id: Taken where there is no folder.

    Returns:
        A folder or an id.

    Raises:
        InputError: If the folder lacks the data.
    """
    if data_dir is None:
        return hub_id
    folder = data_dir / name
    if not (folder / "train.parquet").is_file():
        raise InputError(
            f"data_dir {str(data_dir)!r} holds no {name}/train.parquet; put the Hub's {hub_id} there "
            f"(huggingface-cli download --repo-type dataset {hub_id}), or leave --data-dir out to fetch it"
        )
    return str(folder)


def text_file(data_dir: Path | None, name: str) -> tuple[str, str]:
    """Lines to train on and held-out ones, ``NAME/train.txt`` and ``NAME/test.txt`` of the data folder.

    Raises:
        InputError: If there is no folder, or it lacks them.
    """
    folder = None if data_dir is None else data_dir / name
    if folder is None or not (folder / "train.txt").is_file() or not (folder / "test.txt").is_file():
        raise InputError(
            f"{name} needs --data-dir with {name}/train.txt and {name}/test.txt, one text a line"
            + ("" if folder is None else f"; {str(folder)!r} lacks them")
        )
    return str(folder / "train.txt"), str(folder / "test.txt")
