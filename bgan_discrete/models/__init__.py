"""Trained models: what they do, and the folder that they are saved in."""
