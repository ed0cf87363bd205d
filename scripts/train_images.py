#!/usr/bin/env python
"""Train a boundary-seeking GAN on quantised images: ``bgan train --kind images``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("train", "images")
