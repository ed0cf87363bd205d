"""What samples are to have, in the values of the data -> codes ``[L, *event_shape]``, K where samples are drawn."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bgan_discrete.codecs import ArrayCodec, ImageCodec, IntegersCodec, TableCodec, TextCodec
from bgan_discrete.codecs.columns import Column
from bgan_discrete.errors import InputError, one_line
from bgan_discrete.kinds.conditions import Condition, allowed_codes, conditions_of, exact_value
from bgan_discrete.kinds.kind import GivenCodes
from bgan_discrete.sources.numpy_files import opened_arrays
from bgan_discrete.sources.rules import Rule
from bgan_discrete.sources.table_files import TABLE_SUFFIXES
from bgan_discrete.sources.tables import (
    INDEX_NAME,
    Findings,
    Frame,
    columns_of,
    has_numbers_for_rows,
    plain_columns,
    read_csv,
    read_parquet,
)
from bgan_discrete.space import SampleSpace

OPAQUE = 128
"""Pixels of a lower alpha are drawn."""

# --- tables ---


def given_columns(given: Any, codec: TableCodec) -> GivenCodes:
    """Some columns of a table.

    They are a data frame, or a dictionary of columns, where a single value is that of all rows, and missing cells are
    drawn; or, as text, the name of a file of such rows, or conditions (`bgan_discrete.kinds.conditions`).
    """
    if not isinstance(given, (str, os.PathLike)):
        return _of_columns(_columns(given), codec)
    text = os.fspath(given)
    is_file = Path(text).suffix.lower() in TABLE_SUFFIXES and (Path(text).is_file() or not {*text} & {*"=<>"})
    if is_file:
        return _of_columns(_columns_of_file(text, "given"), codec)
    return _of_conditions(conditions_of(text, codec), codec)


def _columns_of_file(name: str, what: str) -> dict[str, list[Any]]:
    findings, path, place = Findings(), Path(name), f"{what} {name!r}"
    if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file():
        raise InputError(f"{place} is no file")
    if path.suffix.lower() == ".parquet":
        return _usable(read_parquet(path, place, (), lambda name: True, findings), findings)
    return _usable(read_csv(path, place, None, True, (), findings), findings)


def codes_of_file(name: str, columns: Sequence[str], codec: TableCodec) -> np.ndarray:
    """Codes ``[N, len(columns)]`` of some columns of a file of rows, for `combinations`."""
    found = _columns_of_file(name, "combinations of")
    missing = next((column for column in columns if column not in found), None)
    if missing is not None:
        raise InputError(f"combinations of {name!r} need the column {missing!r}; the file has {', '.join(found)}")
    by_name = {column.name: column for column in codec.columns}
    return np.stack([by_name[column].encode(found[column], np.dtype(np.int64)) for column in columns], 1)


def _of_conditions(conditions: Sequence[Condition], codec: TableCodec) -> GivenCodes:
    """Columns of one code are given; others have sets of codes, and values to be checked once they are decoded."""
    codes = np.full((1, len(codec.columns)), codec.num_categories, np.int64)
    allowed = {}
    for place, is_allowed in allowed_codes(conditions, codec).items():
        if is_allowed.sum() == 1:
            codes[0, place] = is_allowed.argmax()
        elif not is_allowed.all():
            allowed[place] = np.pad(is_allowed, (0, codec.num_categories - len(is_allowed)))
    exact = {one.column: [one.exact] for one in conditions if one.exact is not None}
    return GivenCodes(codes, allowed, tuple(_rule(one, codec) for one in conditions if one.holds is not None), exact)


def _rule(condition: Condition, codec: TableCodec) -> Rule:
    name, holds = codec.columns[condition.column].name, condition.holds
    assert holds is not None
    return Rule(f"given {condition.text}", lambda columns, codes: holds(columns[name]))


def _of_columns(columns: Mapping[str, list[Any]], codec: TableCodec) -> GivenCodes:
    codes = _codes_of_columns(columns, codec)
    exact: dict[int, list[Any]] = {}
    for place, column in enumerate(codec.columns):
        if column.name in columns:
            values = [exact_value(column, value) for value in columns[column.name]]
            exact |= {place: values} if any(value is not None for value in values) else {}
    return GivenCodes(codes, exact=exact)


def _codes_of_columns(columns: Mapping[str, list[Any]], codec: TableCodec) -> np.ndarray:
    """Codes ``[L, columns]``, K where a column has no value."""
    known = {column.name: place for place, column in enumerate(codec.columns)}
    unknown = next((name for name in columns if name not in known), None)
    if unknown in {one.name for one in codec.identifiers}:
        raise InputError(f"given has the column {unknown!r}, an identifier, which is new in each sample: leave it out")
    if unknown is not None:
        names = ", ".join([*known][:20]) + ", ..." * (len(known) > 20)
        raise InputError(f"given has the column {unknown!r}, which the model does not know; it has {names}")
    counts = {len(values) for values in columns.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"given must have columns of one length, at least 1, got {sorted(counts) or 'no column'}")
    codes = np.full((counts.pop(), len(known)), codec.num_categories, np.int64)
    for name, values in columns.items():
        is_given = np.array([value is not None for value in values])
        codes[is_given, known[name]] = _encoded(codec.columns[known[name]], values)[is_given]
    return codes


def _columns(given: Any) -> dict[str, list[Any]]:
    """Columns of plain values, None where one is to be drawn."""
    findings = Findings()
    if not isinstance(given, (Mapping, Frame)):
        raise InputError(f"given must be a dictionary or a data frame of some columns, got {given!r:.100}")
    if isinstance(given, Mapping):
        lists = {name: values for name, values in given.items() if np.ndim(values)}
        length = len(next(iter(lists.values()))) if lists else 1
        given = {name: values if name in lists else [values] * length for name, values in given.items()}
    columns = columns_of(given, "given")
    if has_numbers_for_rows(given):
        columns.pop(INDEX_NAME)  # of some rows of a larger frame
    return _usable(plain_columns(columns, "given", (), lambda name: True, findings), findings)


def _usable(columns: dict[str, list[Any]], findings: Findings) -> dict[str, list[Any]]:
    if findings.refused:
        raise next(iter(findings.refused.values()))
    return columns


def _encoded(column: Column, values: list[Any]) -> np.ndarray:
    """Codes of a column, meaningless where a value is missing."""
    (anything,) = column.decode(np.zeros(1, np.int64))
    try:
        return column.encode([anything if value is None else value for value in values], np.dtype(np.int64))
    except InputError as error:
        raise InputError(f"given: {error}") from None


# --- arrays ---


def codes_of_array(given: Any, codec: ArrayCodec) -> np.ndarray:
    """Of an array of integers, -1 where they are drawn, or of characters, '' there; or of a masked array.

    Its shape is that of a sample, or of several. As text, it is the name of a ``.npy`` file.
    """
    assert isinstance(codec, IntegersCodec)
    values = _array(given)
    shape = codec.space.event_shape
    if values.shape not in (shape, (len(values), *shape)) or not values.size:
        one = str(list(shape))[1:-1]
        raise InputError(f"given must have the shape [{one}] or [num_samples, {one}], got {list(values.shape)}")
    values = values.reshape(-1, *shape)
    is_text = values.dtype.kind == "U"
    anything = codec.decode(np.zeros((1, *shape), codec.dtype)).flat[0]
    if isinstance(values, np.ma.MaskedArray):
        is_drawn, values = np.ma.getmaskarray(values), values.data
    else:
        is_drawn = values == ("" if is_text else -1)
        if not is_text and is_drawn.any() and (codec.low <= -1 if codec.values is None else -1 in codec.values):
            raise InputError("given must be a masked array (numpy.ma), masked where it is drawn, for data that hold -1")
    try:
        codes = codec.encode(np.where(is_drawn, anything, values)).astype(np.int64)
    except InputError as error:
        raise InputError(f"given: {error}") from None
    codes[is_drawn] = codec.num_categories
    return codes


def _array(given: Any) -> np.ndarray:
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        if path.suffix.lower() != ".npy" or not path.is_file():
            raise InputError(f"given must be a .npy file for a model of arrays, got {os.fspath(given)!r}")
        with opened_arrays(path, f"given {os.fspath(given)!r}") as found:
            return np.array(found)
    values = given if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    if values.dtype.kind not in "iuU" or not values.ndim:
        raise InputError(f"given must be an array of integers, -1 where they are drawn, got {given!r:.100}")
    return values


# --- images ---


def codes_of_images(given: Any, codec: ImageCodec, space: SampleSpace) -> np.ndarray:
    """Of a picture or pictures whose transparent pixels are drawn.

    They are Pillow's, uint8 arrays ``[H, W, C + 1]`` or ``[L, H, W, C + 1]`` whose last channel is the alpha one, with
    C = 1 (grey) or 3; or, as text, the name of a file.
    """
    if isinstance(given, (str, os.PathLike)):
        try:
            with Image.open(given) as opened:
                given = opened.copy()
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"given {os.fspath(given)!r} is no picture that can be read: {one_line(error)}") from None
    pictures = [given] if isinstance(given, Image.Image) else given
    if isinstance(pictures, (list, tuple)) and pictures and all(isinstance(one, Image.Image) for one in pictures):
        arrays = [_with_alpha(one, codec.channels) for one in pictures]
        sizes = {array.shape for array in arrays}
        if len(sizes) > 1:
            raise InputError(f"given must be pictures of one size, got {len(sizes)} sizes")
        given = np.stack(arrays)
    height, width = space.event_shape[-2:]
    wanted = (height, width, codec.channels + 1)
    shape = given.shape if isinstance(given, np.ndarray) else ()
    if shape not in (wanted, (*shape[:1], *wanted)) or 0 in shape or given.dtype != np.uint8:
        form = str(list(wanted))[1:-1]
        got = f"{given.dtype} {list(shape)}" if shape else f"{given!r:.100}"
        raise InputError(
            f"given must be pictures with an alpha channel, uint8 [{form}] or [num_samples, {form}], got {got}"
        )
    pixels = given.reshape(-1, *wanted)
    images = pixels[..., 0] if codec.channels == 1 else pixels[..., :-1]
    codes = codec.encode(np.ascontiguousarray(images)).astype(np.int64)
    is_drawn = pixels[..., -1] < OPAQUE
    codes[is_drawn if codes.ndim == 3 else np.repeat(is_drawn[:, None], 3, axis=1)] = codec.num_categories
    return codes


def _with_alpha(picture: Image.Image, channels: int) -> np.ndarray:
    if not picture.has_transparency_data:
        raise InputError(
            f"given must have transparent pixels, which are drawn, got a picture of mode {picture.mode} without any"
        )
    return np.asarray(picture.convert("RGBA").convert("LA" if channels == 1 else "RGBA"))


# --- text ---


def codes_of_tokens(given: Any, codec: TextCodec) -> np.ndarray:
    """Of a list of as many tokens as a sample has, None where they are drawn; or of several such lists."""
    is_list = isinstance(given, (list, tuple)) and len(given) > 0
    if not is_list:
        raise InputError(
            f"given must be a list of {codec.length} tokens, None where they are drawn, got {given!r:.100}; text that "
            "samples begin with is a prompt"
        )
    rows = given if all(isinstance(row, (list, tuple)) for row in given) else [given]
    codes = np.full((len(rows), codec.length), codec.num_categories, np.int64)
    for row, tokens in enumerate(rows):
        if len(tokens) != codec.length:
            raise InputError(f"given must have {codec.length} tokens, the model's length, got {len(tokens)}")
        for place, token in enumerate(tokens):
            if token is not None:
                codes[row, place] = _code_of_token(token, codec)
    return codes


def _code_of_token(token: Any, codec: TextCodec) -> int:
    found = codec.tokenize([token])[0] if isinstance(token, str) else np.empty(0, np.int64)
    if len(found) != 1 or codec.is_unknown(found).any():
        raise InputError(f"given must hold single tokens of the model's vocabulary, got {token!r:.100}")
    return int(found[0])
