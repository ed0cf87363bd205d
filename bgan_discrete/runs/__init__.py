"""What one verb of the program does, as one function: train, generate, evaluate, upload."""
