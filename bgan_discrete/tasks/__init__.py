"""What one script does, as one function: prepare data, train, generate, evaluate."""
