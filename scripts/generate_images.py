#!/usr/bin/env python
"""Draw images from a trained model: ``bgan generate --kind images``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("generate", "images")
