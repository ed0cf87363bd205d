"""The options of generators that draw in rounds: the same for every kind of data."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bgan_discrete.config.option import Section, option
from bgan_discrete.errors import InputError

OrderOption = Literal["auto", "left_to_right", "interleaved", "coarse_to_fine", "information", "random"]
IN_ROUNDS = ("masked", "causal")
"""Generators that draw in rounds."""


@dataclass(frozen=True)
class RoundsConfig(Section):
    """In which rounds a generator draws."""

    has_information: ClassVar[bool] = False
    """Whether the order may go by what positions tell of each other, which is counted for this kind of data."""

    rounds: int | Literal["auto", "all"] = option(
        "auto",
        "S, rounds in which generators masked and causal draw; all: a position a round (auto: masked 4, of images "
        "16; causal all, of rows of more than 512 positions 256; or as many as sizes are given as cut)",
        low=1,
    )
    order: OrderOption = option(
        "auto",
        "in which masked and causal draw the positions; information: by what columns tell of each other (auto: masked "
        "coarse_to_fine on planes; both information for tables and other rows; else masked, and causal with several "
        "positions a round, interleaved, causal left_to_right)",
    )
    cut: str = option(
        "halving",
        "how an order is cut into rounds: halving (each round as large as all before it), equal, or sizes as 4,4,8,16",
    )

    @property
    def asks_for_rounds(self) -> bool:
        """Whether a value is given that a generator in rounds alone has."""
        return (self.rounds, self.order, self.cut) != ("auto", "auto", "halving")

    def check(self) -> None:
        """Raise InputError for the first value that is out of range, or is for other generators."""
        super().check()
        sizes = self.cut.split(",")
        # Python does not read thousands of digits.
        if self.cut not in ("halving", "equal") and not all(s.strip().isdecimal() and len(s) < 20 for s in sizes):
            raise InputError(f"cut must be halving, equal or sizes such as 4,4,8,16, got {self.cut!r:.100}")
        if self.order == "information" and not self.has_information:
            raise InputError("order 'information' is for tables and arrays, whose positions are columns; leave it out")
        values: dict[str, Any] = vars(self)
        if values["generator"] in ("auto", *IN_ROUNDS):
            return
        for name, default in {"rounds": "auto", "order": "auto", "cut": "halving"}.items():
            if values[name] != default:
                raise InputError(
                    f"{name} is for generators that draw in rounds, {' and '.join(IN_ROUNDS)}; leave it out with "
                    f"generator {values['generator']!r}, got {values[name]!r}"
                )
