"""Samples into files, part by part, so that memory does not grow with their number."""

import struct
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bgan_discrete.codecs import TableCodec
from bgan_discrete.codecs.tables import Table
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.storage import chunks_of
from bgan_discrete.sources.table_files import DELIMITERS, format_csv, of_one_kind

Part = TypeVar("Part")


def with_progress(parts: Iterable[Part], num_samples: int) -> Iterator[Part]:
    """The parts of so many samples, with a bar on a terminal.

    Args:
        parts: Of samples, each with ``codes``.
        num_samples: Of all parts.

    Returns:
        The same parts.
    """
    hidden = None if sys.stderr is not None else True
    with tqdm(total=num_samples, desc="drawing", unit=" samples", disable=hidden, leave=False) as bar:
        for part in parts:
            yield part
            bar.update(len(part.codes))  # type: ignore[attr-defined]


def write_npy(file: Any, parts: Iterable[NDArray[Any]], count: int) -> None:
    """Write arrays as one ``.npy`` file.

    Args:
        file: Binary, to write.
        parts: Arrays ``[n, ...]`` of one dtype and shape but n, at least one.
        count: The sum of all n.
    """
    remaining = iter(parts)
    part = next(remaining)
    descr, shape = np.lib.format.dtype_to_descr(part.dtype), (count, *part.shape[1:])
    facts: dict[str, Any] = {"descr": descr, "fortran_order": False, "shape": shape}
    if part.dtype.names is None:
        np.lib.format.write_array_header_1_0(file, facts)
    else:  # version 3 is the one that can name its fields in any script
        header, magic = repr(facts).encode(), np.lib.format.magic(3, 0)
        padding = b" " * (-(len(magic) + 4 + len(header) + 1) % np.lib.format.ARRAY_ALIGN)
        file.write(magic + struct.pack("<I", len(header) + len(padding) + 1) + header + padding + b"\n")
    for array in chain([part], remaining):
        file.write(array.tobytes())


def write_npz(
    file: BinaryIO,
    parts: Iterable[Any],
    num_samples: int,
    decoded: Mapping[str, Callable[[NDArray[Any]], Any]],
    **arrays: NDArray[Any],
) -> None:
    """Write the codes of samples, and what is made of them, as the arrays of a ``.npz`` file.

    Args:
        file: To write.
        parts: Of samples, each with ``codes``, and ``labels`` where there are any; codes beyond a size are kept on the
            disk until all are drawn.
        num_samples: Of all parts.
        decoded: Name -> what makes an array ``[n, ...]`` of codes ``[n, *event_shape]``.
        **arrays: Others, by their names.
    """
    store: CodeStore | None = None
    labels: list[NDArray[Any]] = []
    for part in parts:
        codes = part.codes
        labels += [] if getattr(part, "labels", None) is None else [part.labels]
        store = CodeStore(codes[0].size, codes.dtype) if store is None else store
        store.add(codes.reshape(len(codes), -1))
    assert store is not None
    drawn = store.finish().reshape(num_samples, *codes.shape[1:])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        every: dict[str, Callable[[NDArray[Any]], Any]] = {"codes": np.asarray, **decoded}
        for name, make in every.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_npy(member, (make(drawn[chunk]) for chunk in chunks_of(num_samples)), num_samples)
        for name, array in {**arrays, **({"labels": np.concatenate(labels)} if labels else {})}.items():
            with archive.open(f"{name}.npy", "w") as member:
                write_npy(member, [array], len(array))


def write_tables(
    file: BinaryIO, parts: Iterable[Table], count: int, codec: TableCodec, ranges: bool, suffix: str
) -> None:
    """Write tables of a codec as one ``.csv``, ``.tsv``, ``.parquet`` or ``.npy`` file.

    The type of a column is that of all its values, whether they are among the samples or not. A missing value is an
    empty cell of CSV and null in parquet. The array of a ``.npy`` file is structured, with a field for each column:
    integers, floating-point numbers (missing ones are NaN), booleans, or else strings (missing ones are empty).

    Args:
        file: To write.
        parts: Column name -> values.
        count: Rows of all parts.
        codec: Of the tables.
        ranges: Whether bins are text.
        suffix: Of the file.
    """
    if suffix in DELIMITERS:
        header = format_csv({name: [] for name in codec.column_names or ()}, DELIMITERS[suffix])
        file.write(header.encode())
        for part in parts:
            file.write(format_csv(part, DELIMITERS[suffix]).removeprefix(header).encode())
        return
    possible = {column.name: of_one_kind(column.decode(np.arange(column.size), ranges)) for column in codec.columns}
    kinds = {name: next((type(v) for v in values if v is not None), str) for name, values in possible.items()}
    rows = (
        {name: [v if v is None else kinds[name](v) for v in values] for name, values in part.items()} for part in parts
    )
    if suffix == ".npy":
        fields = [(name, _field(values, kinds[name])) for name, values in possible.items()]
        write_npy(file, (_structured(part, fields) for part in rows), count)
        return
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.array(values).type) for name, values in possible.items()])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for part in rows:
            writer.write_table(pyarrow.table(part, schema))


def _field(values: list[Any], kind: type) -> str:
    """The dtype of a column."""
    if kind in (int, bool) and None not in values:
        return np.dtype(kind).str
    # A string of length 0 has no place in a structured array.
    return (
        "<f8"
        if kind in (int, float)
        else f"<U{max(1, *(len('' if value is None else str(value)) for value in values))}"
    )


def _structured(part: Table, fields: list[tuple[str, str]]) -> NDArray[Any]:
    found = np.empty(len(next(iter(part.values()))), fields)
    for name, dtype in fields:
        missing = np.nan if dtype == "<f8" else ""
        found[name] = [missing if value is None else value for value in part[name]]
    return found
