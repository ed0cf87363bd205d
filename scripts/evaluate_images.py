#!/usr/bin/env python
"""Compare a trained model of images with held-out images: ``bgan evaluate --kind images``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("evaluate", "images")
