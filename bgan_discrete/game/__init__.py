"""The method: two players, the weights of the draws, one step of the game, and what is drawn and measured by them."""
