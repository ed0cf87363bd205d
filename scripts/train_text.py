#!/usr/bin/env python
"""Train a boundary-seeking GAN on text: ``bgan train --kind text``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("train", "text")
