"""The types of a data frame's columns, kept with a codec, so that samples have them too."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from bgan_discrete.codecs.values import Table, Value

_log = logging.getLogger(__name__)

Dtype = str | dict[str, Any]
"""Of a column: its name, or the categories of a categorical one and whether they are ordered."""


def dtypes_of(columns: Mapping[str, Any]) -> dict[str, Dtype]:
    """The types of the columns of a data frame of pandas, as plain JSON types; without those that cannot be so."""
    import pandas

    found: dict[str, Dtype] = {}
    for name, column in columns.items():
        dtype = getattr(column, "dtype", None)
        if isinstance(dtype, pandas.CategoricalDtype):
            categories = dtype.categories.tolist()
            if all(type(value) in (str, int, float, bool) for value in categories):
                found[name] = {"categories": categories, "ordered": bool(dtype.ordered)}
        elif isinstance(dtype, (np.dtype, pandas.api.extensions.ExtensionDtype)):
            found[name] = str(dtype)
    return found


def is_time(dtype: Dtype) -> bool:
    """Whether a type is one of dates with times."""
    return isinstance(dtype, str) and dtype.startswith(("datetime64", "timestamp"))


def frame_of(table: Table, dtypes: Mapping[str, Dtype]) -> Any:
    """A data frame of pandas, whose columns have these types where their values allow it.

    Others, such as integers of which one is missing, have the type that pandas chooses, and a warning names them.
    """
    import pandas

    columns, others = {}, []
    for name, values in table.items():
        try:
            columns[name] = _series(values, dtypes.get(name))
        except (TypeError, ValueError, OverflowError, KeyError, NotImplementedError):
            columns[name] = pandas.Series(values)
            others.append(f"{name!r} ({columns[name].dtype}, not {dtypes[name]})")
    if others:
        _log.warning("columns have another type than in the training data: %s", ", ".join(others))
    return pandas.DataFrame(columns)


def _series(values: Any, dtype: Dtype | None) -> Any:
    import pandas

    if dtype is None:
        return pandas.Series(values)
    if isinstance(dtype, dict):
        known = {(type(value), value) for value in dtype["categories"]}
        new = dict.fromkeys(value for value in values if value is not None and (type(value), value) not in known)
        return pandas.Series(pandas.Categorical(values, [*dtype["categories"], *new], dtype["ordered"]))
    if is_time(dtype):
        texts = pandas.Series(_texts(values))
        return pandas.to_datetime(texts, format="ISO8601", utc="," in dtype).astype(dtype)
    if dtype.startswith("timedelta64"):
        return pandas.to_timedelta(pandas.Series(_texts(values))).astype(dtype)
    return pandas.Series(values, dtype=dtype)


def _texts(values: list[Value]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]
