"""Training: configuration, checkpoints, run log and the trainer.

`config` does not import torch; import from the modules themselves.
"""
