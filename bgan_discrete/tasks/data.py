"""The data that a configuration names."""

from bgan_discrete.codecs import CodecOptions, ImageCodec
from bgan_discrete.config import ImageDataConfig, split_revision
from bgan_discrete.sources import ImageData, load_images


def prepare_data(config: ImageDataConfig, codec: ImageCodec | None = None) -> ImageData:
    """Load, quantise and cache the images that a configuration names.

    Args:
        config: The data.
        codec: A codec to encode with, such as that of a trained model; None to make the configuration's.

    Returns:
        Codes of the training and held-out images.

    Raises:
        InputError: If the data cannot be used.
    """
    options = CodecOptions(
        name=config.codec,
        num_categories=config.num_categories,
        stochastic=config.stochastic,
    )
    dataset, revision = split_revision(config.dataset)
    return load_images(
        dataset,
        column=config.column,
        label_column=config.label_column,
        split=config.split,
        resize=config.resize,
        color=config.color,
        limit=config.limit,
        holdout=config.holdout,
        codec=options if codec is None else codec,
        revision=revision,
    )
