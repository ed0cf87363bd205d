"""What is refused, in one line."""

from collections.abc import Callable
from typing import Any

import pytest

from bgan_discrete.errors import InputError


def refusal(call: Callable[[], Any], kind: type[Exception] = InputError) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(kind) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 6000, "a message does not repeat whatever a file holds"
    return said
