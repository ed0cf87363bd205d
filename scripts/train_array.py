#!/usr/bin/env python
"""Train a boundary-seeking GAN on an integer array or a table: ``bgan train --kind arrays``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("train", "arrays")
