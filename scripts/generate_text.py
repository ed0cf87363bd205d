#!/usr/bin/env python
"""Draw text from a trained model: one sample a line on stdout, all else on stderr: ``bgan generate --kind text``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("generate", "text")
