#!/usr/bin/env python
"""Decode, quantise and cache images ahead of training, and say what is in them: ``bgan prepare --kind images``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("prepare", "images")
