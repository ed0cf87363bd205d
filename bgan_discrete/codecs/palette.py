"""K colours learnt from the data."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.checks import check_flag, check_seed
from bgan_discrete.codecs.base import ImageCodec, check_channels, check_num_categories
from bgan_discrete.errors import InputError

MAX_FITTED_PIXELS = 50_000
"""The palette is learnt on at most this many pixels; more move its colours by less than one level."""

NUM_STARTS = 8
"""Starts of k-means, of which the best palette is kept."""

_LOOKUP_MIN_PIXELS = 2**18
"""From this many pixels on, remembering the code of every colour met (2^24 entries) costs less than it saves."""

_COLOURS_AT_ONCE = 2**16
_PIXELS_AT_ONCE = 2**20
_IMAGES_AT_ONCE = 4096
_LUMINANCE = np.array([299, 587, 114])


class PaletteCodec(ImageCodec):
    """A palette of K colours (or grey levels) found by k-means; a pixel's code is the nearest colour's number.

    Colours are sorted by luminance. Nearest means the least squared distance of RGB values, the lower
    code where two are equally near.

    Args:
        num_categories: K, 2 .. 256.
        channels: 1 for grey images, 3 for RGB. Either has codes ``[N, H, W]``.
        palette: uint8 ``[K, channels]``, distinct colours; None to learn it by `fit`.
        seed: Of k-means, 0 .. 2^63 - 1.
        dither: Whether `encode` spreads each pixel's error to its neighbours (Floyd-Steinberg).

    Raises:
        InputError: If an argument is out of its range, or the palette is not K distinct colours.
    """

    name: ClassVar[str] = "palette"
    config_keys = ("num_categories", "channels", "seed", "dither", "palette")

    def __init__(
        self,
        num_categories: int,
        channels: int = 3,
        *,
        palette: NDArray[np.uint8] | None = None,
        seed: int = 0,
        dither: bool = False,
    ) -> None:
        self.num_categories = check_num_categories(num_categories)
        self.channels = check_channels(channels)
        self.seed = check_seed(seed)
        self.dither = check_flag("dither", dither)
        # The levels of a grey palette are sorted, so its codes are a scale; those of a colour palette are names.
        self.ordered = self.channels == 1
        self.palette: NDArray[np.uint8] | None = None
        self._code_of_colour: NDArray[np.int16] | None = None
        if palette is not None:
            self._set_palette(palette)

    @property
    def is_fitted(self) -> bool:
        """Whether the palette is known."""
        return self.palette is not None

    def _fit(self, images: NDArray[np.uint8]) -> None:
        """Learn the palette by k-means on at most `MAX_FITTED_PIXELS` pixels, drawn by the seed."""
        generator = np.random.Generator(np.random.Philox(self.seed))
        colours, counts = _count_colours(_drawn_pixels(images, self.channels, generator))
        if len(colours) < self.num_categories:
            # The drawn pixels may have missed rare colours: the whole of the images decides.
            colours, counts = _count_all_colours(images, self.channels)
        if len(colours) < self.num_categories:
            raise InputError(
                f"num_categories is {self.num_categories}, but the images have only {len(colours)} distinct "
                f"{'levels' if self.channels == 1 else 'colours'}: a palette must not be larger"
            )
        self._set_palette(_distinct_bytes(_centres(colours, counts, self.num_categories, generator), colours))

    def _set_palette(self, palette: NDArray[np.uint8]) -> None:
        wanted = (self.num_categories, self.channels)
        if not isinstance(palette, np.ndarray) or palette.dtype != np.uint8 or palette.shape != wanted:
            found = f"{palette.dtype} {list(palette.shape)}" if isinstance(palette, np.ndarray) else repr(palette)
            raise InputError(f"palette must be uint8 {list(wanted)}, got {found}")
        if len(np.unique(palette, axis=0)) < len(palette):
            raise InputError(f"palette must hold {self.num_categories} distinct colours, got some of them twice")
        self.palette = _sorted_by_luminance(palette)
        self.palette.flags.writeable = False
        self._code_of_colour = None

    def _encode(self, images: NDArray[np.uint8], first_row: int) -> NDArray[np.uint8]:
        if self.dither:
            pieces = (images[start : start + _IMAGES_AT_ONCE] for start in range(0, len(images), _IMAGES_AT_ONCE))
            return np.concatenate([self._encode_dithered(piece) for piece in pieces])
        pixels = images.reshape(-1, self.channels)
        codes = np.empty(len(pixels), dtype=np.uint8)
        look_up = self.channels == 1 or len(pixels) >= _LOOKUP_MIN_PIXELS or self._code_of_colour is not None
        for start in range(0, len(pixels), _PIXELS_AT_ONCE):
            piece = pixels[start : start + _PIXELS_AT_ONCE]
            codes[start : start + _PIXELS_AT_ONCE] = self._looked_up(piece) if look_up else self._nearest(piece)
        return codes.reshape(images.shape[:3])

    def _nearest(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of pixels ``[B, channels]``, without an array of all pixels by all colours at once."""
        assert self.palette is not None
        # All terms are integers below 2^24, which float32 holds exactly: ties are true ties.
        centres = self.palette.astype(np.float32)
        pieces = (pixels[start : start + _COLOURS_AT_ONCE] for start in range(0, len(pixels), _COLOURS_AT_ONCE))
        # |x - c|^2 less |x|^2, which is the same for all centres.
        found = [((centres**2).sum(1) - 2 * (piece.astype(np.float32) @ centres.T)).argmin(1) for piece in pieces]
        return np.concatenate(found).astype(np.uint8)

    def _looked_up(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same as `_nearest`, computing each colour only the first time that it is met."""
        if self._code_of_colour is None:
            self._code_of_colour = np.full(256**self.channels, -1, dtype=np.int16)
        packed = pack(pixels)
        codes = self._code_of_colour[packed]
        unknown = codes < 0
        if unknown.any():
            colours = np.unique(packed[unknown])
            self._code_of_colour[colours] = self._nearest(unpack(colours, self.channels))
            codes = self._code_of_colour[packed]
        return codes.astype(np.uint8)

    def _encode_dithered(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Floyd-Steinberg: pixel after pixel, all images at a time."""
        assert self.palette is not None
        num_images, height, width = images.shape[:3]
        codes = np.empty((num_images, height, width), dtype=np.uint8)
        # One column more on each side takes the errors that leave the picture.
        below = np.zeros((num_images, width + 2, self.channels), dtype=np.float32)
        for y in range(height):
            row = below
            row[:, 1:-1] += images[:, y].reshape(num_images, width, self.channels)
            below = np.zeros_like(row)
            for x in range(width):
                wanted = np.clip(row[:, x + 1], 0, 255)
                codes[:, y, x] = self._nearest(np.rint(wanted).astype(np.uint8))
                error = wanted - self.palette[codes[:, y, x]]
                row[:, x + 2] += error * (7 / 16)
                below[:, x] += error * (3 / 16)
                below[:, x + 1] += error * (5 / 16)
                below[:, x + 2] += error * (1 / 16)
        return codes

    def _decode(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self.palette is not None
        return self.palette[:, 0][codes] if self.channels == 1 else self.palette[codes]

    def __getstate__(self) -> dict[str, Any]:
        # The table of colours met is 32 MB and can be found again.
        return {**self.__dict__, "_code_of_colour": None}

    def describe(self) -> str:
        """Say in one line what the codec does."""
        kind = "grey levels" if self.channels == 1 else "colours"
        state = "learnt from the data" if self.is_fitted else "not learnt yet"
        return f"palette of {self.num_categories} {kind}, {state}{', dithered' if self.dither else ''}"

    def to_config(self) -> dict[str, Any]:
        """All that the codec is, as plain JSON types; colours are written as ``#rrggbb``, grey levels as ``#ll``."""
        palette = None if self.palette is None else ["#" + colour.tobytes().hex() for colour in self.palette]
        return {**super().to_config(), "palette": palette}

    @classmethod
    def from_config(cls, **values: Any) -> "PaletteCodec":
        """See `Codec.from_config`."""
        colours = values["palette"]
        if colours is not None:
            colours = _palette_from_hex(colours, check_channels(values["channels"]))
        return cls(**{**values, "palette": colours})


def _palette_from_hex(colours: Any, channels: int) -> NDArray[np.uint8]:
    """The colours of a configuration, uint8 ``[K, channels]``."""
    wanted = f"a list of colours like {'#80' if channels == 1 else '#8040ff'}"
    if not isinstance(colours, list):
        raise InputError(f"palette must be {wanted}, got {colours!r}")
    rows = []
    for colour in colours:
        try:
            if not (isinstance(colour, str) and colour.startswith("#") and len(colour) == 1 + 2 * channels):
                raise ValueError
            rows.append(list(bytes.fromhex(colour[1:])))
        except ValueError:
            raise InputError(f"palette must be {wanted}, got the colour {colour!r}") from None
    if not rows:
        raise InputError(f"palette must be {wanted}, got an empty list")
    return np.array(rows, dtype=np.uint8).reshape(len(rows), -1)


def _drawn_pixels(images: NDArray[np.uint8], channels: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    num_pixels = images.size // channels
    if num_pixels <= MAX_FITTED_PIXELS:
        return images.reshape(-1, channels)
    # Sorted and by image, row and column: this also reads a memory-mapped array without loading all of it.
    chosen = np.sort(generator.choice(num_pixels, MAX_FITTED_PIXELS, replace=False, shuffle=False))
    return images[np.unravel_index(chosen, images.shape[:3])].reshape(-1, channels)


def pack(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One integer for each colour ``[..., channels]``: the grey value, or ``65536 R + 256 G + B``."""
    packed = pixels[..., 0].astype(np.int32)
    for channel in range(1, pixels.shape[-1]):
        packed = packed << 8 | pixels[..., channel]
    return packed


def unpack(packed: NDArray[np.integer[Any]], channels: int) -> NDArray[np.uint8]:
    """The colours ``[..., channels]`` of what `pack` gave."""
    shifts = 8 * np.arange(channels - 1, -1, -1)
    return ((packed[..., None] >> shifts) & 255).astype(np.uint8)


def _count_colours(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    packed, counts = np.unique(pack(pixels), return_counts=True)
    return unpack(packed, pixels.shape[1]), counts


def _count_all_colours(images: NDArray[np.uint8], channels: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    counts = np.zeros(256**channels, dtype=np.int64)
    rows_at_once = max(1, _PIXELS_AT_ONCE // (images[0].size // channels))
    for start in range(0, len(images), rows_at_once):
        packed, found = np.unique(pack(images[start : start + rows_at_once].reshape(-1, channels)), return_counts=True)
        counts[packed] += found
    packed = np.flatnonzero(counts).astype(np.int32)
    return unpack(packed, channels), counts[packed]


def _centres(
    colours: NDArray[np.uint8], counts: NDArray[np.int64], num_centres: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """k-means on colours that occur so often, on one thread: with several, sums would depend on their order."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    kmeans = KMeans(num_centres, n_init=NUM_STARTS, max_iter=100, random_state=int(generator.integers(2**31)))
    with threadpool_limits(1):
        return kmeans.fit(colours.astype(np.float64), sample_weight=counts).cluster_centers_


def _distinct_bytes(centres: NDArray[np.float64], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Round centres to bytes; of centres that become equal, all but one move to the colour that is worst served."""
    palette = np.unique(np.rint(centres).astype(np.uint8), axis=0)
    while len(palette) < len(centres):
        difference = colours.astype(np.int32)[:, None] - palette.astype(np.int32)
        worst = np.argmax((difference**2).sum(-1).min(1))
        palette = np.concatenate([palette, colours[worst : worst + 1]])
    return palette


def _sorted_by_luminance(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if palette.shape[1] == 1:
        return np.sort(palette, axis=0)
    luminance = palette.astype(np.int64) @ _LUMINANCE
    return palette[np.lexsort((palette[:, 2], palette[:, 1], palette[:, 0], luminance))]
