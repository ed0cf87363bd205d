"""The method: two players, the weights of the draws, and one step of the game."""
