"""What is wrong with parquet files that could not be opened together: the library that opens them names no file."""

from collections.abc import Sequence
from pathlib import Path

from bgan_discrete.errors import one_line


def find_fault(files: Sequence[Path]) -> str | None:
    """The first fault of parquet files, with file and rows; None where all can be read and have the same columns."""
    import pyarrow.parquet

    first = None
    for path in files:
        row = 0
        try:
            with pyarrow.parquet.ParquetFile(path) as table:
                if table.metadata.num_rows == 0:
                    return f"{path} has no rows"
                for group in range(table.num_row_groups):
                    count = table.metadata.row_group(group).num_rows
                    for batch in table.iter_batches(batch_size=max(1, count), row_groups=[group]):
                        batch.validate(full=True)
                    row += count
                schema = table.schema_arrow.remove_metadata()
        except Exception as error:  # Arrow's own errors are of many kinds
            where = f"{path} from row {row} on" if row else str(path)
            return f"{where}: {one_line(error)}"
        if first is None:
            first = (path, schema)
        elif not schema.equals(first[1]):
            kinds = [", ".join(f"{field.name} ({field.type})" for field in fields) for fields in (schema, first[1])]
            return f"{path} has the columns {kinds[0]}, but {first[0]} has {kinds[1]}"
    return None
