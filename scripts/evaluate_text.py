#!/usr/bin/env python
"""Compare a trained model of text with held-out texts: ``bgan evaluate --kind text``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("evaluate", "text")
