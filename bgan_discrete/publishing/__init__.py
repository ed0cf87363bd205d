"""Models for others: the model card in a model's folder, and the Hugging Face Hub, which is only asked when named.

Nothing here imports torch, and ``huggingface_hub`` is imported when the Hub is used.
"""
