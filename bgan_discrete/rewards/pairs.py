"""Prompts with their answers as token ids, whatever the tokenizer is and however a trainer writes them.

Letters: B pairs, L tokens of the longest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bgan_discrete.checks import check_at_least_one
from bgan_discrete.codecs.text import TextCodec
from bgan_discrete.errors import InputError

Tokens = list[int]


@dataclass(frozen=True)
class Pair:
    """One prompt and an answer to it.

    Attributes:
        tokens: Ids of both, one behind the other.
        length: Tokens of the answer.
        is_cut: Whether tokens were left out to fit.
    """

    tokens: tuple[int, ...]
    length: int
    is_cut: bool = False


class PairReader:
    """Turns prompts and answers into token ids.

    Where the answer's text is known to be whole, the end follows it, if there is one. A pair that is too long loses the
    beginning of its prompt, then the end of its answer; `Pair` says so.

    Args:
        tokenizer: A function of a text that gives its ids, a fitted text codec of this package, or a tokenizer of
            `transformers`, which is asked for no special tokens.
        num_tokens: Of the vocabulary, with the end; None where the tokenizer knows it.
        end_id: The id that follows an answer; None for the tokenizer's own, if it has one.
        max_tokens: Of a pair.
        takes_ids: Read ``completion_ids``, where a trainer gives them, as they are: for a policy with this tokenizer.
            Then an answer that was cut at the policy's most tokens has no end. Otherwise the text is tokenized anew,
            and counts as whole.

    Raises:
        InputError: If a number is unknown or out of its range.

    Examples:
        >>> reader = PairReader(lambda text: [ord(character) - 97 for character in text], num_tokens=26)
        >>> reader.read("ab", "c")
        Pair(tokens=(0, 1, 2), length=1, is_cut=False)
    """

    def __init__(
        self,
        tokenizer: Callable[[str], Any] | TextCodec,
        num_tokens: int | None = None,
        end_id: int | None = None,
        max_tokens: int = 512,
        takes_ids: bool = False,
    ) -> None:
        self._tokenize, known_size, known_end = _known(tokenizer)
        size = known_size if num_tokens is None else num_tokens
        if size is None:
            raise InputError("num_tokens must be given, because a function does not say how many ids it may return")
        check_at_least_one(num_tokens=size, max_tokens=max_tokens)
        self.num_tokens = int(size)
        self.end_id = known_end if end_id is None else end_id
        if self.end_id is not None and not 0 <= self.end_id < self.num_tokens:
            raise InputError(f"end_id must be an id, 0 .. {self.num_tokens - 1}, got {self.end_id!r}")
        self.max_tokens, self.takes_ids = max_tokens, takes_ids

    def tokens(self, text: str) -> Tokens:
        """The ids of a text.

        Raises:
            InputError: If the tokenizer gives others than it may.
        """
        found = self._tokenize(text)
        ids = [int(value) for value in (found["input_ids"] if isinstance(found, Mapping) else found)]
        if ids and not 0 <= min(ids) <= max(ids) < self.num_tokens:
            raise InputError(f"tokenizer must give ids of 0 .. {self.num_tokens - 1}, got {ids!r:.100}")
        return ids

    def read(self, prompt: Any, answer: Any, ids: Sequence[int] | None = None) -> Pair:
        """One pair.

        Args:
            prompt: A text, or a list of chat messages.
            answer: Likewise.
            ids: What the policy drew for the answer, with its end if it came to one; None if not known.

        Returns:
            The pair.

        Raises:
            InputError: If a text is none, or the tokenizer does not give its ids.
        """
        before = self.tokens(text_of("prompts", prompt))
        if ids is None or not self.takes_ids:
            after = self.tokens(text_of("completions", answer)) + ([] if self.end_id is None else [self.end_id])
        else:
            after = [int(value) for value in ids]
            if after and not 0 <= min(after) <= max(after) < self.num_tokens:
                raise InputError(
                    f"completion_ids must be ids of 0 .. {self.num_tokens - 1}, got {max(after)}: takes_ids is for a "
                    "policy with the same tokenizer"
                )
        kept = after[: self.max_tokens]
        room = self.max_tokens - len(kept)
        is_cut = len(before) > room or len(after) > len(kept)
        return Pair((*before[max(len(before) - room, 0) :], *kept), len(kept), is_cut)


def _known(tokenizer: Any) -> tuple[Callable[[str], Any], int | None, int | None]:
    """How to ask a tokenizer, the size of its vocabulary and its end, where it says so."""
    if isinstance(tokenizer, TextCodec):
        codec = tokenizer
        if not codec.is_fitted:
            raise InputError("tokenizer must be a fitted codec; call its fit() on texts")
        return (lambda text: codec.tokenize([text])[0].tolist()), codec.num_categories, codec.end_id
    if not callable(tokenizer):
        raise InputError(f"tokenizer must be a function of a text, a codec or a tokenizer, got {tokenizer!r:.100}")
    if hasattr(tokenizer, "eos_token_id"):  # one of transformers, which need not be installed
        return (lambda text: tokenizer(text, add_special_tokens=False)), len(tokenizer), tokenizer.eos_token_id
    return tokenizer, None, None


def text_of(name: str, value: Any) -> str:
    """The text of a string or of chat messages: of one its content, of several a line each with who says it.

    Raises:
        InputError: If it is neither; it is called ``name``.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(part, Mapping) and "content" in part for part in value):
        contents = [_content_of(name, part["content"]) for part in value]
        if len(value) == 1:
            return contents[0]
        return "\n".join(f"{part.get('role', '')}: {text}" for part, text in zip(value, contents, strict=True))
    raise InputError(f"{name} must hold strings, or lists of messages with a 'content', got {value!r:.100}")


def _content_of(name: str, content: Any) -> str:
    """The text of a message's content, which may be in several parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) and "text" in part for part in content):
        return "".join(str(part["text"]) for part in content)
    raise InputError(f"{name} must hold messages of text, got the content {content!r:.100}")


def padded(pairs: Sequence[Pair], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Ids ``[B, L]`` of pairs, 0 behind each, and the mask ``[B, L]`` of those that count; L is at least 1."""
    length = max([1, *(len(pair.tokens) for pair in pairs)])
    ids = torch.zeros(len(pairs), length, dtype=torch.long)
    mask = torch.zeros(len(pairs), length, dtype=torch.bool)
    for row, pair in enumerate(pairs):
        ids[row, : len(pair.tokens)] = torch.tensor(pair.tokens, dtype=torch.long)
        mask[row, : len(pair.tokens)] = True
    return ids.to(device), mask.to(device)
