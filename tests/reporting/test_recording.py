"""What a report says of when and by what command a run began, also after it was resumed."""

import json
import sys
from pathlib import Path

import pytest

from bgan_discrete.reporting import recorded


def test_a_resumed_run_keeps_its_beginning_and_a_new_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = {"started": "2001-01-01 00:00:00 +0000", "command": ["first"]}
    (tmp_path / "facts.json").write_text(json.dumps({**began, "failure": "of the first call"}), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["second"])
    monkeypatch.setattr("bgan_discrete.reporting.recording.write_report_page", lambda folder: None)
    for is_resumed in (True, False):
        with recorded(tmp_path, "data", is_resumed=is_resumed):
            pass
        facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
        assert (facts["started"] == began["started"]) == is_resumed
        assert facts["command"] == (["first"] if is_resumed else ["second"])
        assert "failure" not in facts
