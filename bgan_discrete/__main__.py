"""``python -m bgan_discrete`` is ``bgan``."""

from bgan_discrete.command_line import main

if __name__ == "__main__":
    main()
