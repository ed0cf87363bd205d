"""Other ways to train such generators, for comparison; nothing in the game needs them."""
