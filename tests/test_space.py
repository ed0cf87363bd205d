"""What one sample is, and the bases of the networks that hold it."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from bgan_discrete import (
    AlternativesDiscriminator,
    ConvSequenceDiscriminator,
    GRUGenerator,
    InputError,
    MLPDiscriminator,
    MLPGenerator,
    SampleSpace,
)
from bgan_discrete.codecs import CharacterCodec, IntegersCodec, LevelsCodec, TableCodec
from bgan_discrete.sources import load_array, load_images


def test_a_space_is_plain_numbers_whatever_it_is_made_of() -> None:
    made = SampleSpace([np.int64(2), 3], np.int32(5), sizes=torch.tensor([5, 5, 2, 1, 5, 5]), end_id=np.uint8(4))  # type: ignore[arg-type]
    assert made == SampleSpace((2, 3), 5, (5, 5, 2, 1, 5, 5), 4)
    assert (made.num_positions, made.sizes) == (6, (5, 5, 2, 1, 5, 5))
    assert SampleSpace.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert SampleSpace((2,), 4, sizes=(4, 4)).sizes is None, "where all are the largest"
    assert hash(made) == hash(SampleSpace.from_dict(made.to_dict()))
    named = SampleSpace((2,), 3, ordered=np.bool_(True), class_names=np.array(["a", "b"]))  # type: ignore[arg-type]
    assert json.dumps(named.to_dict()) == json.dumps(SampleSpace((2,), 3, None, None, True, ("a", "b")).to_dict())
    with pytest.raises(InputError, match=r"event_shape of sequences must be \(L,\), got \(2, 3\)"):
        _ = made.length


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"event_shape": 8}, r"event_shape must be a tuple, such as \(8,\), got 8"),
        ({"event_shape": None}, "event_shape must be of integers, got None"),
        ({"event_shape": (True,)}, r"event_shape must be of integers, got \(True,\)"),
        ({"event_shape": (8, 2.5)}, r"event_shape must be of integers, got \(8, 2\.5\)"),
        ({"event_shape": (8, 0)}, "event_shape must hold integers of at least 1"),
        ({"num_categories": 1}, r"num_categories must be between 2 and 2\*\*24, got 1"),
        ({"num_categories": 2**24 + 1}, "num_categories must be between"),
        ({"num_categories": "4"}, r"num_categories must be of integers, got \['4'\]"),
        ({"end_id": 4}, r"end_id must be in \[0, 4\) or be None, got 4"),
        ({"end_id": -1}, "end_id must be in"),
        ({"end_id": True}, r"end_id must be of integers, got \[True\]"),
        ({"sizes": (0, 4)}, "at least 1 and at most num_categories = 4, got 0 to 4"),
        ({"sizes": (5, -1)}, "at least 1 and at most num_categories = 4, got -1 to 5"),
        ({"sizes": (4, 4, 4)}, "one for each of the 2 positions"),
        ({"sizes": (4, 2.5)}, r"sizes must be flat, in C order, and of integers, got \(4, 2\.5\)"),
        ({"scales": (5, 0)}, "scales must be at least 0 and at most the sizes, got 5 of 4 categories"),
        ({"scales": (1, 2, 3)}, "scales must be one for each of the 2 positions"),
        ({"sizes": [[3, 3]]}, r"sizes must be flat, in C order, and of integers, got \[\[3, 3\]\]"),
        ({"ordered": 1}, "ordered must be True or False, got 1"),
        ({"class_names": ()}, "class_names must be different ones, got 0"),
        ({"class_names": range(2)}, r"class_names must be a tuple of strings, got \(0, 1\)"),
        ({"class_names": 2}, "class_names must be a tuple of strings, got 2"),
        ({"class_names": "ab"}, "class_names must be a tuple of strings, got ab"),
    ],
)
def test_what_is_no_space_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SampleSpace(**{"event_shape": (1, 2), "num_categories": 4, **values})


def test_the_values_of_a_space_are_all_named() -> None:
    values = SampleSpace((2,), 4).to_dict()
    for wrong in ({**values, "extra": 1}, {name: values[name] for name in values if name != "event_shape"}, {}):
        with pytest.raises(InputError, match="a sample space must have exactly event_shape, num_categories, sizes, "):
            SampleSpace.from_dict(wrong)


def test_spaces_differ_in_what_is_named() -> None:
    one = SampleSpace((8, 8), 4, ordered=True)
    assert one.difference(SampleSpace((8, 8), 4, ordered=True)) is None
    assert one.difference(SampleSpace((8, 8), 5)) == "num_categories: 4 and 5; ordered: True and False"
    long = SampleSpace((10**4,), 3, sizes=(2,) * 9999 + (3,)).difference(SampleSpace((10**4,), 3))
    assert long is not None and len(long) < 100


def test_data_and_codec_say_the_same_space() -> None:
    digits = load_images("digits")
    assert digits.space == LevelsCodec(17).space_of((8, 8), digits.class_names)
    assert digits.space.ordered and digits.space.class_names == tuple("0123456789")
    table = load_array({"a": [1, 2, 3] * 9, "b": ["x", "y", "y"] * 9})
    assert table.space == table.codec.space == SampleSpace((2,), 3, sizes=(3, 2), scales=(3, 0))
    assert TableCodec.fit({"a": ["10", "9"], "b": [2, None]}).space == SampleSpace((2,), 2, scales=(2, 1))
    spelt = TableCodec.fit({"a": ["1", "1.0", "10", "9", None] * 3, "b": [-3, -10, 2.5, 2, 7] * 3})
    assert spelt.space.scales == (4, 5) and spelt.columns[0].categories[2:] == ("9", "10", None)  # type: ignore[union-attr]
    assert IntegersCodec((2, 3), 5).space == SampleSpace((2, 3), 5)
    text = CharacterCodec(6, vocabulary="abc")
    assert text.space == SampleSpace((6,), text.num_categories, end_id=0)
    with pytest.raises(InputError, match="has not seen data yet"):
        _ = CharacterCodec(6).space


def test_networks_say_what_they_give() -> None:
    space = SampleSpace((4,), 3)
    assert MLPDiscriminator(space).credits == ("sample", "alternatives")
    assert AlternativesDiscriminator(space).credits == ("alternatives",)
    assert [ConvSequenceDiscriminator(space, per_prefix=each).credits for each in (False, True)] == [
        ("sample",), ("prefix",),
    ]  # fmt: skip
    assert (MLPGenerator(space).takes_prompt, GRUGenerator(space).takes_prompt) == (False, True)
    assert list(MLPGenerator(space).settings) == ["space", "latent_size", "latent_kind", "width", "depth"]
