"""Write the three examples that a program makes into files, to look at them or to try a file of one's own layout.

    python data/make_examples.py                      # table.csv, motifs.npy and records.npy in the folder examples
    python data/make_examples.py --output-dir /tmp/e  # somewhere else

The rows are those of ``--dataset table``, ``motifs`` and ``records``; see `bgan_discrete.sources.examples`.
"""

import argparse
from pathlib import Path

import numpy as np

from bgan_discrete.sources.examples import NUM_ROWS, example
from bgan_discrete.sources.table_files import write_table


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Write the examples of tables and arrays into files.")
    parser.add_argument("--output-dir", type=Path, default=Path("examples"), help="folder, made if missing")
    folder = parser.parse_args().output_dir
    folder.mkdir(parents=True, exist_ok=True)
    for name in NUM_ROWS:
        rows = example(name)
        path = folder / (f"{name}.npy" if isinstance(rows, np.ndarray) else f"{name}.csv")
        if isinstance(rows, np.ndarray):
            np.save(path, rows)
        else:
            write_table(rows, path)
        print(path)


if __name__ == "__main__":
    main()
