"""Files and folders that are whole or absent, function by function: what is called, kept, refused and said."""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bgan_discrete import durable, manifests
from bgan_discrete.durable import (
    clean_leftovers,
    discard,
    hold_folder,
    keep_permissions,
    make_folder,
    publish_folder,
    remove_empty,
    replace_text,
    replacing_file,
    stepped_aside,
    storage_error,
    working_folder,
    write_synced,
)
from bgan_discrete.errors import InputError, StorageError
from bgan_discrete.manifests import (
    MANIFEST_FILE,
    DamagedError,
    NewerFormatError,
    check_regular_file,
    file_facts,
    file_inside,
    is_plain_name,
    read_bytes,
    read_json,
    render_manifest,
    strict_json,
    verify_folder,
)

POSIX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to tell what is open")


def says(call: Callable[[], Any], kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


def test_a_text_is_written_with_what_is_to_become_of_characters_that_have_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "ä\udc80", "surrogateescape")
    assert path.read_bytes() == b"\xc3\xa4\x80"
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "b\udc80")
    assert path.read_bytes() == b"\xc3\xa4\x80", "what was there stays"


@POSIX
@pytest.mark.parametrize("write", [lambda path, content: replace_text(path, content.decode()), write_synced])
def test_a_small_file_is_handed_over_before_it_is_synchronised(
    write: Callable[[Path, bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    write(tmp_path / "a", b"few")
    assert sizes[0] == 3


@POSIX
def test_a_slow_reader_of_a_pipe_gets_every_byte(tmp_path: Path) -> None:
    pipe, content = tmp_path / "pipe", "x" * 10**6
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = threading.Thread(target=replace_text, args=(pipe, content))
    writing.start()
    time.sleep(0.2)  # the pipe is full by now
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == content.encode()
    writing.join()


@POSIX
def test_nothing_stays_open(tmp_path: Path) -> None:
    def all_of_it() -> None:
        with hold_folder(tmp_path / "held", ".lock"), working_folder(tmp_path) as working:
            write_synced(working / "a", b"a")
            publish_folder(working, tmp_path / "final")
        with replacing_file(tmp_path / "b") as file:
            file.write(b"b")
        with pytest.raises(ZeroDivisionError), replacing_file(tmp_path / "b"):
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), working_folder(tmp_path) as failing:
            write_synced(failing / "half", b"a")
            raise ZeroDivisionError
        (tmp_path / f".writing-{'0' * 8}").mkdir()
        clean_leftovers(tmp_path)

    all_of_it()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        all_of_it()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "final"]


def test_a_successor_gets_the_owner_and_the_group_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(path: Path, user: int, group: int) -> None:
        asked.append((path.name, user, group))
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse, raising=False)
    for name in ("former", "successor"):
        (tmp_path / name).touch()
    (tmp_path / "former").chmod(0o640)
    os.utime(tmp_path / "former", (1, 1))
    keep_permissions(tmp_path / "former", tmp_path / "successor")
    facts = (tmp_path / "successor").stat()
    if os.name != "nt":
        assert asked == [("successor", facts.st_uid, -1), ("successor", -1, facts.st_gid)]
        assert facts.st_mode & 0o777 == 0o640
    assert facts.st_mtime > 10**9, "but not its time"
    keep_permissions(tmp_path / "none", tmp_path / "successor")


def test_a_folder_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: Any) -> None:
        raise OSError(38, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold_folder(tmp_path, ".lock"):
        pass
    assert caplog.messages == [f"{str(tmp_path)!r} has no locks, so that a second run in it would not be refused"]
    assert caplog.records[0].name.startswith("bgan_discrete.")


def test_a_lock_file_that_somebody_deleted_is_no_error(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "new" / "run", ".lock"):
        (tmp_path / "new" / "run" / ".lock").unlink()
    assert list(tmp_path.iterdir()) == [], "what was made for it is gone"
    with hold_folder(None, ".lock"):
        pass
    (tmp_path / "file").touch()
    said = says(lambda: hold_folder(tmp_path / "file", ".lock"))
    assert said == f"output_dir {str(tmp_path / 'file')!r} is a file; give a folder"


def test_empty_folders_go_up_to_the_first_that_holds_something(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    remove_empty([inner, inner.parent, inner.parent.parent])
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def test_a_folder_that_replaces_another_keeps_what_it_does_not_hold_itself(tmp_path: Path) -> None:
    final = tmp_path / "final"
    for number in range(3):
        if number == 2:  # a crash had left the former one aside
            shutil.copytree(final, stepped_aside(final))
        with working_folder(tmp_path) as working:
            (working / "part").write_text(str(number))
            publish_folder(working, final)
        if number == 0:
            (final / "note").write_text("mine")
        assert {path.name: path.read_text() for path in final.iterdir()} == {"part": str(number), "note": "mine"}
        assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert stepped_aside(final) == tmp_path / ".replaced-final"


def test_links_are_discarded_and_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to("folder")
    discard(tmp_path / "link")
    discard(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"] and (tmp_path / "folder" / "file").exists()
    discard(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_known_by_their_whole_name(tmp_path: Path) -> None:
    gone = [".writing-0123abcd", ".removing-0123abcd"]
    kept = [".writing-0123abc", ".writing-0123abcde", ".writing-0123abcg", "x.writing-0123abcd", ".other-0123abcd"]
    for name in (*gone, *kept):
        (tmp_path / name).mkdir()
    clean_leftovers(tmp_path)
    clean_leftovers(tmp_path / "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_folders_that_are_missing_are_made_and_their_names_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir() and synced == [tmp_path / "a", tmp_path]
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2, "what is there is not synchronised again"


def test_what_cannot_be_written_is_named_once() -> None:
    assert str(storage_error("'a'", OSError(28, "full"))) == "cannot write 'a': full"
    assert str(storage_error("'a'", OSError(28, "full", "b"))) == "cannot write 'a': full: b"
    assert str(storage_error("'a'", OSError(28, "full", "a"))) == "cannot write 'a': full"
    assert str(storage_error("'a'", OSError(28, "full", 3))) == "cannot write 'a': full"
    assert str(storage_error("'a'", OSError("odd"))) == "cannot write 'a': odd"
    first = StorageError("said already")
    assert storage_error("'a'", first) is first


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 3 * 2**20 + 7])
def test_the_facts_of_a_file_of_any_size(tmp_path: Path, size: int) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    (tmp_path / "a").write_bytes(content)
    assert file_facts(tmp_path / "a") == {"size": size, "sha256": hashlib.sha256(content).hexdigest()}


def sealed(folder: Path, kind: str = "kind", version: int = 3, **facts: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "part").write_text("x")
    text = render_manifest(kind, version, {"part": file_facts(folder / "part")}, **facts)
    (folder / MANIFEST_FILE).write_text(text)
    return folder


def test_a_manifest_ends_with_its_own_digest(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "a", step=4)
    text = (folder / MANIFEST_FILE).read_text()
    document = json.loads(text)
    assert text == json.dumps(document, indent=2) + "\n"
    assert list(document) == ["format", "format_version", "step", "files", "digest"]
    claimed = document.pop("digest")
    plain = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert claimed == hashlib.sha256(plain).hexdigest()
    assert verify_folder(folder, "kind", 3, "thing") == {**document, "digest": claimed}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda folder: (folder / "part").write_text("y"), DamagedError,
         "is damaged: part is not the file that was written (size or SHA-256 differs)"),
        (lambda folder: (folder / "part").unlink(), DamagedError, "is not whole: part is missing"),
        (lambda folder: (folder / MANIFEST_FILE).unlink(), DamagedError, "is not whole: manifest.json is missing"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("{}"), DamagedError,
         "is damaged: manifest.json cannot be read: 'digest'"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("[]"), DamagedError,
         "is damaged: manifest.json cannot be read: "),
        (lambda folder: (folder / MANIFEST_FILE).write_text(" " + (folder / MANIFEST_FILE).read_text()), DamagedError,
         "is damaged: manifest.json was changed"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("x" * (2**20 + 1)), DamagedError,
         "is damaged: manifest.json cannot be read: it is larger than 1048576 bytes"),
        (lambda folder: sealed(folder, "other"), InputError,
         "is not one: its manifest.json is of 'other', not of 'kind'"),
        (lambda folder: sealed(folder, "o" * 200), InputError,
         f"is not one: its manifest.json is of '{'o' * 99}, not of 'kind'"),
        (lambda folder: sealed(folder, version=True), InputError, "is not one: its manifest.json is of 'kind'"),
        (lambda folder: (folder / MANIFEST_FILE).write_text(render_manifest("kind", 3, {"../part": {}})), InputError,
         "names a file '../part', which is no plain file name"),
        (lambda folder: sealed(folder, version=4), NewerFormatError,
         "has format version 4; this version of the package reads 3: install a newer one"),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_fit_its_manifest_is_refused_by_its_name(
    tmp_path: Path, change: Callable[[Path], Any], kind: type[Exception], words: str
) -> None:
    folder = sealed(tmp_path / "a", version=3)
    change(folder)
    assert says(lambda: verify_folder(folder, "kind", 3, "thing"), kind).startswith(f"thing {str(folder)!r} {words}")


def test_plain_names() -> None:
    assert all(map(is_plain_name, ("a", "A.b-c_9", "_", "9", "a" * 200)))
    assert not any(map(is_plain_name, ("", ".a", "-a", "a/b", "..", "a\n", "ä", "a" * 201, b"a", None, 3)))


def test_a_file_inside_a_folder_is_no_other_file(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    for place in (folder, other):
        place.mkdir()
        (place / "file").touch()
    (folder / "out").symlink_to("../other/file")
    (folder / "circle").symlink_to("circle")
    (folder / "deep").mkdir()
    assert file_inside(folder, "file", "it") == folder / "file"
    assert file_inside(folder, "out", "it", tmp_path) == folder / "out", "where links may lead there"
    assert says(lambda: file_inside(folder, "out", "it")) == "it: out is a link that leads out of the folder"
    assert says(lambda: file_inside(folder, "deep", "it")) == "it: deep is not a file"
    for name in ("circle", "none"):
        assert says(lambda n=name: file_inside(folder, n, "it"), DamagedError) == f"it is not whole: {name} is missing"
    assert says(lambda: file_inside(folder, "../other/file", "it")) == (
        "it names a file '../other/file', which is no plain file name"
    )


def test_so_many_bytes_are_read_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("äb", encoding="utf-8")
    assert manifests.read_text(path, 3) == "äb"
    assert says(lambda: manifests.read_text(path, 2), ValueError) == "it is larger than 2 bytes"
    path.write_text("[12]")
    assert read_bytes(path, 4) == b"[12]" and read_json(path, 4) == read_json(path) == [12]
    assert says(lambda: read_bytes(path, 3), ValueError) == "it is larger than 3 bytes"
    assert says(lambda: read_json(path, 3), ValueError) == "it is larger than 3 bytes"
    path.write_text(" " * 2**20 + "1")
    assert says(lambda: read_json(path), ValueError) == "it is larger than 1048576 bytes"


def test_json_is_strict() -> None:
    assert strict_json('{"a": 1.5}') == {"a": 1.5}
    for constant in ("NaN", "Infinity", "-Infinity"):
        assert says(lambda c=constant: strict_json(f"[{c}]"), ValueError) == f"{constant} is not JSON"
    assert says(lambda: strict_json("[" * 10**5), ValueError) == "it is nested too deeply"


def test_what_is_no_regular_file_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    check_regular_file(tmp_path / "a", "data")
    for name, reason in (
        ("none", "No such file or directory"),
        (".", "it is a folder, pipe, socket or device, not a regular file"),
        ("\0", "embedded null"),
    ):
        said = says(lambda n=name: check_regular_file(tmp_path / n, "data"))
        assert said.startswith("data '") and f"' cannot be read: {reason}" in said


def test_what_cannot_be_deleted_now_is_left_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        discard(tmp_path / "folder")
        with working_folder(tmp_path) as working:
            (working / "file").touch()
        clean_leftovers(tmp_path)
    assert len(list(tmp_path.glob(".removing-*"))) == len(list(tmp_path.glob(".writing-*"))) == 1
    clean_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_inside_one_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(durable, "sync_folder", refuse)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@POSIX
@pytest.mark.parametrize("name", ["/proc/self/fd/{}", "/dev/fd/{}"])
def test_what_the_process_has_open_is_added_to_and_not_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "log"
    path.write_text("before")
    with path.open("ab") as file:
        place = path.stat().st_ino
        replace_text(Path(name.format(file.fileno())), " and after")
    assert path.read_text() == "before and after" and path.stat().st_ino == place


@POSIX
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    for umask, mode in ((0, 0o666), (0o027, 0o640)):
        former = os.umask(umask)
        try:
            replace_text(tmp_path / str(umask), "x")
        finally:
            os.umask(former)
        assert (tmp_path / str(umask)).stat().st_mode & 0o777 == mode


def test_a_place_that_is_taken_away_before_it_is_opened_is_made_again(tmp_path: Path) -> None:
    tried: list[Path] = []

    def create(path: Path) -> int:
        tried.append(path)
        if len(tried) == 1:
            raise FileNotFoundError
        return os.open(path, os.O_CREAT | os.O_RDWR)

    path, descriptor = durable._locked(tmp_path, "a-", ".tmp", create)
    os.close(descriptor)
    assert path == tried[1] != tried[0] and path.name.startswith("a-") and path.suffix == ".tmp"
    tried.clear()
    with pytest.raises(FileNotFoundError):
        durable._locked(tmp_path / "none", "a-", ".tmp", create)


def test_a_new_place_is_locked_even_where_a_cleaner_looks_at_it_just_then(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    looking: list[threading.Timer] = []

    def create(path: Path) -> int:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
        cleaner = os.open(path, os.O_RDONLY)
        fcntl.flock(cleaner, fcntl.LOCK_EX)
        looking.append(threading.Timer(0.1, os.close, [cleaner]))
        looking[0].start()
        return descriptor

    path, descriptor = durable._locked(tmp_path, "a-", "", create)
    looking[0].join()
    with path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_a_file_in_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    said = says(lambda: replace_text(tmp_path / "none" / "a", "x"), StorageError)
    assert said.startswith(f"cannot write {str(tmp_path / 'none' / 'a')!r}: No such file or directory")
    with replacing_file(tmp_path / "a.txt"):
        (working,) = (path.name for path in tmp_path.iterdir())
        assert working.startswith(".a.txt.") and working.endswith(".tmp") and len(working) == len(".a.txt..tmp") + 8


def test_links_of_a_manifests_files_may_lead_where_it_is_said(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "a")
    (folder / "part").rename(tmp_path / "blob")
    (folder / "part").symlink_to("../blob")
    assert verify_folder(folder, "kind", 3, "thing", within=tmp_path)["files"].keys() == {"part"}
    assert "leads out of the folder" in says(lambda: verify_folder(folder, "kind", 3, "thing"))


@POSIX
def test_what_has_the_name_of_a_leftover_and_is_in_use_or_no_folder_is_left_without_waiting(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "file").touch()
    (tmp_path / ".writing-00000001").symlink_to("file")
    os.mkfifo(tmp_path / ".writing-00000002")
    (tmp_path / ".writing-00000003").mkdir()
    living = os.open(tmp_path / ".writing-00000003", os.O_RDONLY)
    fcntl.flock(living, fcntl.LOCK_EX)
    cleaning = threading.Thread(target=clean_leftovers, args=(tmp_path,), daemon=True)
    cleaning.start()
    cleaning.join(5)
    assert not cleaning.is_alive()
    os.close(living)
    assert (tmp_path / ".writing-00000001").is_symlink() and (tmp_path / ".writing-00000003").is_dir()


def test_without_locks_nothing_counts_as_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    (tmp_path / ".writing-00000001").mkdir()
    clean_leftovers(tmp_path)
    assert (tmp_path / ".writing-00000001").is_dir()


@POSIX
def test_a_new_place_that_is_gone_once_it_is_locked_is_closed_and_made_again(tmp_path: Path) -> None:
    opened: list[int] = []

    def create(path: Path) -> int:
        opened.append(durable._new_file(path))
        if len(opened) == 1:
            path.unlink()
        return opened[-1]

    before = len(list(Path("/proc/self/fd").iterdir()))
    path, descriptor = durable._locked(tmp_path, "a-", "", create)
    with pytest.raises(FileExistsError):
        durable._new_file(path)
    os.close(descriptor)
    assert len(opened) == 2 and len(list(Path("/proc/self/fd").iterdir())) == before
