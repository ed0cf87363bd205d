"""Pairs as token ids: whatever the tokenizer is, whatever form texts have, and what is cut."""

from collections import UserDict
from functools import partial
from typing import Any

import pytest
import torch
from refusals import refusal

from bgan_discrete import InputError
from bgan_discrete.codecs import CharacterCodec, SentencePieceCodec
from bgan_discrete.nn.tokens import TokenGRU, TokenNgrams, TokenTransformer, framed_tokens
from bgan_discrete.rewards.pairs import Pair, PairReader, padded, text_of


def letters(text: str) -> list[int]:
    return [ord(letter) - 97 for letter in text]


class Foreign:
    """Has what is used of a tokenizer of transformers."""

    eos_token_id = 9

    def __len__(self) -> int:
        return 10

    def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
        return UserDict({"input_ids": letters(text) + [9] * add_special_tokens})


def test_every_kind_of_tokenizer() -> None:
    assert PairReader(letters, 26).read("ab", "c") == Pair((0, 1, 2), 1)
    assert PairReader(letters, 26, end_id=25).read("ab", "c") == Pair((0, 1, 2, 25), 2)
    assert PairReader(Foreign()).read("ab", "c") == Pair((0, 1, 2, 9), 2)
    codec = CharacterCodec(length=4).fit(["ab"])
    a, b = codec.tokenize(["ab"])[0].tolist()
    assert PairReader(codec).read("a", "bb") == Pair((a, b, b, 0), 3)
    pieces = SentencePieceCodec(length=4, vocabulary_size=269).fit(["some words of a text"])
    pair = PairReader(pieces).read("some", " words")
    assert pieces.detokenize(torch.tensor(pair.tokens[:-1]).numpy()) == "some words"


def test_ids_of_the_policy_are_read_where_the_reader_takes_them() -> None:
    text, ids = PairReader(Foreign()), PairReader(Foreign(), takes_ids=True)
    assert text.read("a", "bc", [4, 4]) == Pair((0, 1, 2, 9), 3)
    assert ids.read("a", "bc", [4, 4]) == Pair((0, 4, 4), 2), "cut at the policy's most tokens: no end"
    assert ids.read("a", "bc") == Pair((0, 1, 2, 9), 3)
    assert "ids of 0 .. 9, got 10" in refusal(lambda: ids.read("a", "b", [10]))


def test_what_is_too_long_loses_its_beginning_then_its_end_and_says_so() -> None:
    reader = PairReader(letters, 26, end_id=25, max_tokens=4)
    assert reader.read("ab", "c") == Pair((0, 1, 2, 25), 2)
    assert reader.read("abc", "d") == Pair((1, 2, 3, 25), 2, is_cut=True)
    assert reader.read("a", "bcdef") == Pair((1, 2, 3, 4), 4, is_cut=True)


def test_texts_and_messages() -> None:
    one, two = (
        [{"role": "user", "content": "hi"}],
        [{"role": "user", "content": "hi"}, {"role": "bot", "content": "ho"}],
    )
    parts = [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]
    assert [text_of("prompts", value) for value in ("hi", one, parts)] == ["hi"] * 3
    assert text_of("prompts", two) == "user: hi\nbot: ho"
    for wrong in (3, None, [{"role": "user"}], [3]):
        assert "prompts must hold strings" in refusal(partial(text_of, "prompts", wrong))
    assert "messages of text" in refusal(lambda: text_of("prompts", [{"content": 3}]))


def test_bad_readers_are_refused() -> None:
    for make, words in (
        (lambda: PairReader(letters), "num_tokens must be given"),
        (lambda: PairReader(letters, 26, end_id=26), "end_id must be an id, 0 .. 25, got 26"),
        (lambda: PairReader(letters, 0), "num_tokens must be at least 1"),
        (lambda: PairReader(letters, 26, max_tokens=0), "max_tokens must be at least 1"),
        (lambda: PairReader("gpt", 26), "tokenizer must be a function"),  # type: ignore[arg-type]
        (lambda: PairReader(CharacterCodec(length=4)), "must be a fitted codec"),
        (lambda: PairReader(letters, 26).tokens("aZ"), "tokenizer must give ids of 0 .. 25"),
    ):
        assert words in refusal(make)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("make", [lambda: TokenGRU(5, 8, 2), lambda: TokenTransformer(5, 6, 8, 2, 2)])
def test_f_of_a_pair_does_not_depend_on_the_others_of_its_batch(make: Any) -> None:
    torch.manual_seed(0)
    network = make()
    pairs = [Pair(tokens, 1) for tokens in ((), (4,), (0, 0), (4, 0), (1, 2, 3, 4), (1, 2, 3, 4, 0, 0))]
    together = network(*padded(pairs))
    alone = torch.cat([network(*padded([pair])) for pair in pairs])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    assert len(set(together.tolist())) == len(pairs), "no two of them look the same, ids of 0 and padding among them"
    together.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_framed_tokens_end_in_a_0_of_their_own() -> None:
    ids, mask = padded([Pair((2, 0), 1), Pair((), 0)])
    assert framed_tokens(ids, mask).tolist() == [[3, 1, 0], [0, 0, 0]]


def test_a_transformer_says_what_is_too_long() -> None:
    with pytest.raises(InputError, match="at most max_tokens = 2 tokens, got 3"):
        TokenTransformer(5, 2, 8, 1, 2)(*padded([Pair((1, 2, 3), 1)]))
    assert "multiple of heads" in refusal(lambda: TokenTransformer(5, 2, 9, 1, 2))


def test_ngrams_are_added_up_and_the_end_is_among_them() -> None:
    """Every n-gram of the tokens and their end has its score, whatever comes before the start."""
    network = TokenNgrams(9, order=2, num_scores=2**12)
    pairs = [Pair((1, 2, 1), 1), Pair((2,), 1), Pair((), 0)]
    with torch.no_grad():
        network.scores.normal_(generator=torch.Generator().manual_seed(0))
        network(*padded(pairs))
        unigrams = {(token,): float(network(*padded([Pair((token,), 1)]))) for token in range(9)}
        network.scores[1] = 0
        of_end = float(network(*padded([Pair((), 0)])))
        alone = {token: float(network(*padded([Pair((token,), 1)]))) - of_end for token in range(9)}
        assert float(network(*padded(pairs))[0]) == pytest.approx(2 * alone[1] + alone[2] + of_end, abs=1e-5)
    assert len(set(unigrams.values())) == 9
    network.zero_grad()
    network(*padded(pairs[:1])).sum().backward()
    touched = (network.scores.grad > 0).sum(1).tolist()  # type: ignore[operator]
    assert touched == [3, 4], "1, 2 and the end; start-1, 1-2, 2-1 and 1-end"
