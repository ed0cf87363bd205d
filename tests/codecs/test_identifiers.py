"""Identifiers: new values of the form of those in the data, none of which is in the data, all different."""

import random
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bgan_discrete.codecs import TableCodec, codec_from_config
from bgan_discrete.codecs.identifiers import (
    CountedIdentifier,
    ScatteredIdentifier,
    _permuted,
    fit_identifier,
    fresh_identifiers,
    identifier_from_config,
    identifier_to_config,
)
from bgan_discrete.errors import InputError

LOWER, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


def drawn(form: str, rows: int, letters: dict[str, str]) -> list[str]:
    rng = random.Random(0)
    return [*dict.fromkeys("".join(rng.choice(letters.get(one, one)) for one in form) for _ in range(rows))]


def new(values: Sequence[Any], count: int = 300, seed: int = 0) -> list[Any]:
    """New values by a form that was saved and loaded, drawn in two parts."""
    form = identifier_from_config(identifier_to_config(fit_identifier("id", values, 0)))
    fresh = fresh_identifiers([form], count, np.random.default_rng(seed))
    return [*fresh(0, 7)["id"], *fresh(7, count - 7)["id"]]


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([7, 3, 12], [13, 14]),
        ([-9, -4], [-3, -2]),
        ([2**70], [2**70 + 1]),
        (["ID-00007", "ID-00009"], ["ID-00010", "ID-00011"]),
        (["ID-99998", "ID-99999"], ["ID-100000"]),
        (["a1b", "a10b", "a9b"], ["a11b", "a12b"]),
        (["2024-010", "2024-110"], ["2024-111"]),
        (["x010", "x020"], ["x021"]),
        (["101-25", "111-25", "121-25"], ["122-25"]),
        (["007"], ["008"]),
        (["日7号", "日8号"], ["日9号"]),
    ],
)
def test_numbers_are_counted_on(values: list[Any], first: list[Any]) -> None:
    assert new(values)[: len(first)] == first


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (drawn("K######", 200, {"#": LOWER + DIGITS}), "K[a-z0-9]{6}"),
        (drawn("##-@@@@", 200, {"#": LOWER, "@": DIGITS}), "[a-z]{2}-[0-9]{4}"),
        (drawn("#" * 32, 50, {"#": "0123456789abcdef"}), "[0-9a-f]{32}"),
        (drawn("C@@@@@@@@@@", 200, {"@": DIGITS}), "C[0-9]{10}"),
    ],
)
def test_letters_and_digits_are_scattered_over_all_texts_of_the_form(values: list[str], pattern: str) -> None:
    form = fit_identifier("id", values, 0)
    assert isinstance(form, ScatteredIdentifier)
    found = new(values)
    assert all(re.fullmatch(pattern, text) for text in found)
    assert len({*found}) == len(found) and not {*found} & {*values}
    assert new(values) == found != new(values, seed=1)
    for place, slot in enumerate(form.slots):  # every character of a place comes, about as often
        counts = [sum(text[place] == letter for text in found) for letter in slot]
        assert max(abs(count - 300 / len(slot)) for count in counts) < 6 * (300 / len(slot)) ** 0.5 + 1


@pytest.mark.parametrize("case", [str.lower, str.upper])
@pytest.mark.parametrize("version", [4, 7])
def test_uuids_keep_version_and_variant(version: int, case: Callable[[str], str]) -> None:
    rng = random.Random(1)
    numbers = [rng.getrandbits(128) for _ in range(40)]
    values = [f"{uuid.UUID(int=one)}" for one in numbers]
    values = [case(f"{one[:14]}{version}{one[15:19]}{'89ab'[int(one[19], 16) % 4]}{one[20:]}") for one in values]
    found = new(values)
    assert all(uuid.UUID(one).version == version and uuid.UUID(one).variant == uuid.RFC_4122 for one in found)
    assert all(case(one) == one for one in found) and not {*found} & {*values}


def test_no_new_value_is_in_the_data_even_where_nearly_all_texts_are() -> None:
    every = [f"{a}{b}" for a in "abc" for b in "xyz"]
    for left in every:  # all new values of each form, of which the data have all but a few
        form = ScatteredIdentifier("id", 0, ("abc", "xyz"), 10, every.index(left))
        assert form.values(0, form.room, b"key") == [left]
    values = drawn("##", 60, {"#": LOWER})
    with pytest.raises(InputError, match=r"of the 676 texts of its form only .* are kept apart from the data"):
        fit_identifier("id", values, 0)
    values = drawn("####", 60, {"#": LOWER})
    form = fit_identifier("id", values, 0)
    assert isinstance(form, ScatteredIdentifier)
    all_new = form.values(0, form.room, b"key")
    assert len({*all_new}) == form.room >= 10 * len(values) and not {*all_new} & {*values}
    with pytest.raises(InputError, match=f"num_samples must be at most {form.room}, .* of column 'id', got 99999999"):
        fresh_identifiers([form], 99999999, np.random.default_rng(0))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, 1000])
def test_a_key_permutes(count: int) -> None:
    orders = [[_permuted(place, count, key) for place in range(count)] for key in (b"a", b"b")]
    assert all(sorted(order) == [*range(count)] for order in orders)
    assert count < 63 or orders[0] != orders[1] != [*range(count)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, None, 3], "row 2 has no value; fill it in"),
        ([1.5, 2.5], "it holds 1.5 in row 1; identifiers are all integers or all texts"),
        ([True, False], "it holds True in row 1"),
        (["a", 1], "it holds 'a' in row 1"),
        (["a", "b", "a"], "'a' is in rows 1 and 3; what comes more than once is learnt, as --column id=category"),
        (["Anna", "Bo"], "its values have no form that is known .*'Anna', 'Bo'.*; known are integers, .*--drop id"),
        (["a b c", "a?b c"], "no form"),
        (["0", "00"], "no form"),
        (["ä", "ö"], "no form"),
        (["", "x"], "no form"),
    ],
)
def test_what_names_no_rows_is_refused(values: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=f"column 'id' cannot be of kind identifier: .*{words}"):
        fit_identifier("id", values, 0)


def test_a_table_keeps_places_and_forms_but_no_value_of_the_data() -> None:
    rows = 40
    codes = drawn("######", rows, {"#": LOWER + DIGITS})
    table = {"key": codes, "age": [20, 30] * 20, "n": [*range(500, 540)], "sex": ["f", "m"] * 20}
    codec = TableCodec.fit(table, column={"key": "identifier", "n": "identifier"})
    assert codec.column_names == ("age", "sex") and codec.encode(table).shape == (rows, 2)
    assert codec.describe().endswith("; identifiers, new in samples: key, n")
    again = codec_from_config(codec.to_config())
    assert again.fingerprint() == codec.fingerprint() and again.identifiers == codec.identifiers
    assert not any(code in codec.to_json() for code in codes)
    assert [*again.with_identifiers({"age": [1], "sex": [2]}, {"n": [3], "key": [4]}).items()] == [
        ("key", [4]), ("age", [1]), ("n", [3]), ("sex", [2]),
    ]  # fmt: skip
    with pytest.raises(InputError, match="all columns are of kind identifier, and nothing is left to learn: n"):
        TableCodec.fit({"n": table["n"]}, column={"n": "identifier"})
    with pytest.raises(InputError, match="column 'n' of kind identifier has no categories or bins to count"):
        TableCodec.fit(table, column={"n": "identifier:5"})
    with pytest.raises(InputError, match="column 'no' is not in the table"):
        TableCodec.fit(table, column={"no": "identifier"})


def test_damaged_forms_are_refused() -> None:
    counted = identifier_to_config(CountedIdentifier("n", 0, 5, 3, "a"))
    scattered = identifier_to_config(ScatteredIdentifier("n", 0, ("ab", "xyz"), 5, 2))
    wrong: list[Any] = [None, {}, {**counted, "more": 1}]
    wrong += [{**counted, key: value} for key, value in (("start", "5"), ("place", -1), ("width", 999), ("prefix", 1))]
    wrong += [
        {**scattered, key: value}
        for key, value in (("slots", []), ("slots", ["aa"]), ("slots", "ab"), ("remainder", 5), ("modulus", 0))
    ]
    wrong += [{**scattered, "modulus": 9, "remainder": 7}, {**scattered, "place": 1.0}]
    for entry in wrong:
        with pytest.raises(InputError):
            identifier_from_config(entry)
    config = TableCodec.fit({"a": [1, 2], "n": [3, 4]}, column={"n": "identifier"}).to_config()
    for forms in ({}, [{**config["identifiers"][0], "place": 2}], [{**config["identifiers"][0], "name": "a"}]):
        with pytest.raises(InputError):
            codec_from_config({**config, "identifiers": forms})
