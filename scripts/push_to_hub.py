#!/usr/bin/env python
"""Upload a trained model to the Hugging Face Hub: the model and its card alone: ``bgan push``."""

from bgan_discrete.command_line import front

if __name__ == "__main__":
    front("push")
