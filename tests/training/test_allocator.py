"""The allocator's settings: taken where it is glibc's, and the user's own are left alone."""

import platform
import subprocess
import sys

import pytest

from bgan_discrete.training.allocator import keep_freed_memory

PROGRAM = "from bgan_discrete.training.allocator import keep_freed_memory; print(keep_freed_memory())"


def test_the_users_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert keep_freed_memory() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc")
def test_glibc_takes_the_settings() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
