"""Documents -> codes, part by part; what is lost or changes is counted."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgan_discrete.codecs import TextCodec
from bgan_discrete.sources.code_store import CodeStore
from bgan_discrete.sources.text_files import Tally

_AT_ONCE = 1024
_EXAMPLE = 40
"""Characters of an example in a note."""


class Framer:
    """Documents -> codes, in the order in which they come; what is lost or changes goes to the tally."""

    def __init__(self, codec: TextCodec, layout: str, tally: Tally) -> None:
        self.codec, self.layout, self.tally = codec, layout, tally
        self.digest = hashlib.blake2b(digest_size=32)
        self.longest = 0
        self._characters: set[str] = set()
        self._store = CodeStore(codec.length, codec.dtype)
        self._waiting: list[str] = []

    def add(self, text: str) -> None:
        """Take a document."""
        encoded = text.encode("utf-8", "surrogatepass")
        self.digest.update(len(encoded).to_bytes(8, "little") + encoded)
        self._waiting.append(text)
        if len(self._waiting) == _AT_ONCE:
            self._frame()

    def finish(self) -> NDArray[Any]:
        """The codes of all documents ``[S, L]``."""
        if self._waiting:
            self._frame()
        return self._store.finish()

    def lack(self, unit: str) -> str:
        """Why there are too few samples."""
        documents = self.tally.counts["documents"]
        if self.layout == "window" and documents:
            return f"its longest document has {self.longest} tokens, but a window has length = {self.codec.length}"
        advice = f"; a document is a {unit}, and layout 'window' cuts long ones" if self.layout == "pad" else ""
        return f"it has {documents} documents for that{advice}"

    def _frame(self) -> None:
        codec, length = self.codec, self.codec.length
        tokenized = codec.tokenize(self._waiting)
        for text, codes in zip(self._waiting, tokenized, strict=True):
            self._account(text, codes)
        if self.layout == "window":
            windows = [codes[: len(codes) // length * length] for codes in tokenized]
            framed = np.concatenate(windows).reshape(-1, length)
        else:
            framed = codec.frame(tokenized)
        self._store.add(framed)
        self.tally.counts["unknown"] += int(codec.is_unknown(framed).sum())
        self._waiting = []

    def _account(self, text: str, codes: NDArray[Any]) -> None:
        codec, tally, size, length = self.codec, self.tally, len(codes), self.codec.length
        tally.counts.update({"documents": 1, "tokens": size})
        self.longest = max(self.longest, size)
        if self.layout == "pad" and size > length:
            tally.lose("cut", f"{text[:_EXAMPLE]!r}, of whose {size:,} tokens {length:,} are kept")
        elif self.layout == "window" and size < length:
            tally.lose("short", text[:_EXAMPLE])
        elif self.layout == "window" and size % length:
            tally.lose("rest", codec.detokenize(codes[-(size % length) :][:_EXAMPLE]), size % length)
        back = codec.detokenize(codes)
        if back == text:
            return
        if codec.is_unknown(codes).any():
            new = sorted(set(text) - self._characters)
            self._characters.update(new)
            of_each = zip(new, codec.tokenize(new), strict=True)
            tally.examples["unknown"] += [letter for letter, found in of_each if codec.is_unknown(found).any()]
        else:
            same = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), 0)
            part = slice(max(same - 5, 0), same + _EXAMPLE)
            tally.lose("normalised", f"{text[part]!r} becomes {back[part]!r}")
