"""Training: batches, checkpoints, run log and the trainer; import from the modules themselves."""
