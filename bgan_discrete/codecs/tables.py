"""The codec of tables."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from bgan_discrete.codecs.arrays import ArrayCodec, Codes
from bgan_discrete.codecs.columns import BinnedColumn, CategoryColumn, Column, column_from_config
from bgan_discrete.codecs.fitting import FitOptions, check_table, fit_columns, fit_identifiers
from bgan_discrete.codecs.identifiers import Identifier, identifier_from_config, identifier_to_config
from bgan_discrete.codecs.values import Table, Value
from bgan_discrete.errors import InputError
from bgan_discrete.space import SampleSpace

MISSING_NAME = "(missing)"


class TableCodec(ArrayCodec):
    """Tables of categories: a code for each different value of a column, or for each bin of a column of numbers.

    Columns may have different numbers of categories; K is the largest of them.

    Args:
        columns: At least one, with different names.
        dtypes: Types of columns in the data frame that they came from, by their names: text, or the categories of a
            categorical one and whether they are ordered. Codes do not depend on them.
        identifiers: Columns that are not learnt, which samples have new values of; see `fit`.

    Raises:
        InputError: If there is no column, two have one name or place, or a type is no such thing.
    """

    name: ClassVar[str] = "table"
    config_keys = ("columns",)

    def __init__(
        self,
        columns: Sequence[Column],
        dtypes: Mapping[str, Any] | None = None,
        identifiers: Sequence[Identifier] = (),
    ) -> None:
        names = [column.name for column in columns]
        every = [*names, *(one.name for one in identifiers)]
        if not names or len(set(every)) != len(every):
            raise InputError(f"columns must be at least one, with different names, got {every}")
        self.identifiers = tuple(sorted(identifiers, key=lambda one: one.place))
        places = {one.place for one in identifiers}
        if len(places) != len(identifiers) or not places <= {*range(len(every))}:
            raise InputError(f"identifiers must have different places among {len(every)} columns, got {identifiers!r}")
        self.dtypes = dict(dtypes or {})
        if not all(_is_dtype(dtype) for dtype in self.dtypes.values()):
            raise InputError(f"dtypes must be text, or categories and ordered, got {self.dtypes!r:.200}")
        self.columns = tuple(columns)
        self.column_names = tuple(names)
        sizes = [column.size for column in columns]
        # One value alone is no choice, but a code needs two.
        self.num_categories = max(2, *sizes)
        scales = tuple(column.scale for column in columns)
        self.space = SampleSpace((len(names),), self.num_categories, tuple(sizes), scales=scales)
        self.ordered = False

    @classmethod
    def fit(
        cls,
        table: Table,
        *,
        bins: int | None = None,
        max_categories: int | None = None,
        column: Mapping[str, str] | None = None,
        rare: str = "drawn",
    ) -> "TableCodec":
        """Learn the categories of each column from a table.

        A column of strings, booleans or few different numbers has a category for each value, in their order; missing
        values (None) are one more. A column of many different numbers, also if they are texts such as 2.50, or of dates
        or times written in one form, is cut at their quantiles; a number of so many rows that it fills a bin, such as
        the zeros of a column of amounts, has its own.

        Args:
            table: The rows.
            bins: Quantile bins of a column of more different numbers than that, >= 2; None for twice the cube root of
                the rows, 8 .. 256, of columns with more than 20 different numbers and fewer than 10 rows for each, or
                with more than 256.
            max_categories: The most categories of other columns beside the missing one, >= 2: the rarest are lumped
                together as one called "(other)". None for 256.
            column: Of single columns, by their names, the kind: ``category``, ``integer``, ``number`` or ``date``, with
                its own number of categories or bins where one is given, as in ``integer:32``; or ``identifier`` of one
                that names the rows, by another integer or text of one form in each: it has no codes.
            rare: ``drawn`` to keep the values that are lumped together, with their counts, so that `decode` can draw
                one; ``private`` to keep none.

        Returns:
            The codec.

        Raises:
            InputError: If the table has no rows, columns differ in length, an option is out of its range, or a column
                cannot be used: of mixed objects, an identifier, or one of which nine tenths would be "(other)". The
                message names the column and says what would help.
        """
        options = FitOptions(bins, max_categories, column, rare)
        columns = fit_columns(table, options)
        return cls(columns, identifiers=fit_identifiers(table, options, columns))

    def encode(self, data: Table) -> Codes:
        """Codes ``[N, columns]`` of a table with at least this codec's columns; errors as in `ArrayCodec.encode`."""
        check_table(data)
        codes = np.empty((len(next(iter(data.values()))), len(self.columns)), self.dtype)
        for place, column in enumerate(self.columns):
            if column.name not in data:
                raise InputError(f"column {column.name!r} is not in the table, which has: {', '.join(data)}")
            codes[:, place] = column.encode(data[column.name], self.dtype)
        return codes

    def decode(
        self, codes: Codes, ranges: bool = False, rng: np.random.Generator | None = None
    ) -> dict[str, list[Value]]:
        """The table that codes ``[N, columns]`` stand for.

        Args:
            codes: Integers, each below its column's number of categories.
            ranges: Give bins as text such as ``[10, 25)`` rather than a number inside them.
            rng: Dice, by which each bin is a number inside it, and "(other)" one of the values that it stands for, as
                frequently as in the data; row after row, so that parts of a table give the rows of the whole. None for
                the median of each bin, and for "(other)" itself.

        Returns:
            Column name -> values.
        """
        self.validate_codes(codes)
        drawn = [place for place, column in enumerate(self.columns) if column.draws]
        uniforms = dict(zip(drawn, (rng.random((len(codes), len(drawn))) if rng else np.empty((0, 0))).T, strict=False))
        return {
            column.name: column.decode(codes[:, place], ranges, uniforms.get(place))
            for place, column in enumerate(self.columns)
        }

    def with_identifiers(self, table: Table, identifiers: Table) -> dict[str, Sequence[Value]]:
        """The columns of a ``table`` of samples, and among them, each in its place, those of ``identifiers``."""
        columns = list(table.items())
        for one in self.identifiers:
            columns.insert(one.place, (one.name, identifiers[one.name]))
        return dict(columns)

    def category_names(self) -> list[list[str]]:
        """What each code of each column stands for, in words."""
        return [
            [MISSING_NAME if value is None else str(value) for value in column.decode(np.arange(column.size), True)]
            for column in self.columns
        ]

    def describe(self) -> str:
        """Say in one line what the codec does."""
        shown = ", ".join(f"{column.name} {_description(column)}" for column in self.columns[:20])
        more = f", and {len(self.columns) - 20} more" if len(self.columns) > 20 else ""
        count = f"{len(self.columns)} columns" if len(self.columns) > 1 else "1 column"
        names = ", ".join(one.name for one in self.identifiers)
        return f"{count} of categories: {shown}{more}" + (f"; identifiers, new in samples: {names}" if names else "")

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types."""
        dtypes = {"dtypes": self.dtypes} if self.dtypes else {}
        forms = {"identifiers": [identifier_to_config(one) for one in self.identifiers]} if self.identifiers else {}
        return {"name": self.name, "columns": [column.to_config() for column in self.columns], **dtypes, **forms}

    @classmethod
    def from_config(cls, **values: Any) -> "TableCodec":
        """See `Codec.from_config`."""
        columns = values["columns"]
        if not isinstance(columns, list):
            raise InputError(f"columns must be a list, got {columns!r}")
        dtypes = values.get("dtypes", {})
        if not isinstance(dtypes, dict):
            raise InputError(f"dtypes must be a dictionary, got {dtypes!r:.200}")
        forms = values.get("identifiers", [])
        if not isinstance(forms, list):
            raise InputError(f"identifiers must be a list, got {forms!r:.200}")
        identifiers = [identifier_from_config(entry) for entry in forms]
        return cls([column_from_config(entry) for entry in columns], dtypes, identifiers)


def _is_dtype(dtype: Any) -> bool:
    if isinstance(dtype, dict):
        is_right = set(dtype) == {"categories", "ordered"} and isinstance(dtype["categories"], list)
        return is_right and isinstance(dtype["ordered"], bool)
    return isinstance(dtype, str) and len(dtype) <= 200


def _description(column: Column) -> str:
    kind = (
        f"{len(column.values)} bins" + (f" of {column.form}" if column.form else "")
        if isinstance(column, BinnedColumn)
        else str(len(column.categories) - column.has_missing)
    )
    other = f" + {column.other}" if isinstance(column, CategoryColumn) and column.other is not None else ""
    marks = f" + {', '.join(column.marks)}" if isinstance(column, BinnedColumn) and column.marks else ""
    return kind + other + (f" + {MISSING_NAME}" if column.has_missing else "") + marks
