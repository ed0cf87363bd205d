"""Files and folders that are complete or absent, and manifests that show that a folder is unchanged."""

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from bgan_discrete.errors import InputError, StorageError, one_line

MANIFEST_FILE = "manifest.json"

MAX_TEXT_BYTES = 2**20
"""Manifests and configurations are a few KiB; a larger file is none."""

_ON_WINDOWS = os.name == "nt"
_WORKING, _REMOVING = ".writing-", ".removing-"
REPLACED = ".replaced-"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""Beginnings of names that lead to what the process has open, which may be a file of other programs, too."""

_log = logging.getLogger(__name__)


class DamagedError(InputError):
    """A file that was changed, cut short or lost since it was written; arguments as in `InputError`."""


class NewerFormatError(InputError):
    """A folder that a newer version of the package wrote; arguments as in `InputError`."""


IF_OLDER = "train again, or use the version of the package that wrote it"
"""What to do with a file of an older format."""


def replace_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a UTF-8 text file as a whole; arguments and errors as in `replacing_file`."""
    content = text.encode("utf-8", errors)
    with replacing_file(path) as file:
        file.write(content)


@contextmanager
def replacing_file(path: Path, synced: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the name ``path`` once it is complete.

    Until then, and after an error, the former file stays. A replaced file keeps its permissions and, where possible,
    its owner; of a link the target is replaced. A pipe or a device, such as ``/dev/stdout``, receives all bytes at the
    end.

    Args:
        path: Of the file; its folder must exist.
        synced: Wait until it is on the disk, and delete leftovers of killed processes; False for many quick files.

    Returns:
        A context with the file.

    Raises:
        StorageError: If it cannot be written, or a file that is there is read-only; the message names the path and the
            reason.
    """
    try:
        is_stream = path.exists() and (str(path).startswith(_STREAMS) or not stat.S_ISREG(path.stat().st_mode))
        with (
            _given_at_the_end(path) if is_stream else _taking_the_name_of(Path(os.path.realpath(path)), synced) as file
        ):
            yield file
    except OSError as error:
        raise storage_error(f"{str(path)!r}", error) from None


@contextmanager
def _given_at_the_end(path: Path) -> Iterator[BinaryIO]:
    # A pipe that nothing reads is an error rather than a wait; a file behind /dev/stdout is never cut.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "wb") as target, tempfile.TemporaryFile() as file:
        os.set_blocking(descriptor, True)
        yield file
        file.seek(0)
        shutil.copyfileobj(file, target)


@contextmanager
def _taking_the_name_of(path: Path, synced: bool) -> Iterator[BinaryIO]:
    temporary: Path | None = None
    descriptor: int | None = None
    name = os.fsencode(path.name)  # of which file systems take 143 or 255 bytes, those of the temporary name among them
    prefix = f".{path.name if len(name) <= 100 else hashlib.sha256(name).hexdigest()[:32]}."
    try:
        if synced:
            _clean(path.parent, prefix, ".tmp")
        temporary, descriptor = _locked(path.parent, prefix, ".tmp", _new_file)
        keep_permissions(path, temporary)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        if _ON_WINDOWS:  # where a file keeps its name as long as it is open, and has no lock
            os.close(descriptor)
            descriptor = None
        temporary.replace(path)
        if synced:
            sync_folder(path.parent)
    finally:
        if descriptor is not None:
            os.close(descriptor)
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def keep_permissions(path: Path, successor: Path) -> None:
    """Copy mode, access list and, where possible, owner to a file that is about to replace another one.

    Args:
        path: The file that is there; may be missing.
        successor: The one that takes its name.

    Raises:
        PermissionError: If the file may not be written, even where root or its folder would let it be replaced.
    """
    if not path.exists():
        return
    former = path.stat()
    if not (former.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file that is there is read-only")
    for owner in () if _ON_WINDOWS else ((former.st_uid, -1), (-1, former.st_gid)):
        with suppress(PermissionError):
            os.chown(successor, *owner)
    shutil.copystat(path, successor)
    os.utime(successor)


def hold_folder(folder: Path | None, lock_file: str) -> ExitStack:
    """Lock a folder until the returned context ends or the process dies.

    A missing folder is created, and removed again if it is empty at the end. On a file system without locks there is a
    warning.

    Args:
        folder: None for none.
        lock_file: Name of the file that is locked; it is deleted at the end.

    Returns:
        A context that holds the lock.

    Raises:
        InputError: If ``folder`` is a file, or another process or thread holds it.
        StorageError: If it cannot be created or written in.
    """
    from filelock import FileLock, Timeout

    with ExitStack() as stack:
        if folder is None:
            return stack.pop_all()
        real = Path(os.path.realpath(folder))
        # Never a lock by the mere existence of a file: that of a killed process would stay.
        lock = FileLock(real / lock_file, blocking=False, fallback_to_soft=False)
        try:
            if real.exists() and not real.is_dir():
                raise InputError(f"output_dir {str(folder)!r} is a file; give a folder")
            stack.callback(remove_empty, [place for place in (real, *real.parents) if not place.exists()])
            make_folder(real)
            lock.acquire()
        except Timeout:
            raise InputError(
                f"output_dir {str(folder)!r} is in use by another run: wait for its end, or give another folder"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK):
                raise storage_error(f"{str(folder)!r}", error) from None
            _log.warning("%r has no locks, so that a second run in it would not be refused", str(folder))
        else:
            stack.callback(lock.release)
            # Before that: who has opened the file meanwhile finds that it has no name any more, and makes a new one.
            stack.callback((real / lock_file).unlink, missing_ok=True)
        return stack.pop_all()


def remove_empty(folders: Sequence[Path]) -> None:
    """Delete folders up to the first that is missing or not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder inside ``parent``, deleted at the end.

    It is locked while its process lives, so that `clean_leftovers` of another process does not delete it.

    Args:
        parent: An existing folder.

    Returns:
        A context with the folder.
    """
    path, descriptor = _locked(parent, _WORKING, "", _new_folder)
    try:
        yield path
    finally:
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def publish_folder(working: Path, final: Path) -> None:
    """Give a finished folder its name; a folder of that name is renamed first and deleted.

    Other files of the former one are kept. A crash between the two leaves the former one under the name of
    `stepped_aside`.

    Args:
        working: From `working_folder`, its files written by `write_synced`.
        final: In the same folder.
    """
    sync_folder(working)
    aside = stepped_aside(final)
    if final.exists():
        discard(aside)
        final.rename(aside)
    working.rename(final)
    for part in aside.iterdir() if aside.is_dir() and not aside.is_symlink() else ():
        if not os.path.lexists(final / part.name):
            part.rename(final / part.name)
    sync_folder(final.parent)
    discard(aside)


def stepped_aside(final: Path) -> Path:
    """The name of a folder while another replaces it."""
    return final.with_name(f"{REPLACED}{final.name}")


def discard(path: Path) -> None:
    """Delete a file or folder, if there is one. A folder is renamed first, so that it is never seen in part."""
    if path.is_dir() and not path.is_symlink():
        doomed = path.with_name(f"{_REMOVING}{secrets.token_hex(4)}")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def clean_leftovers(folder: Path) -> None:
    """Delete half-written files of killed processes in a folder, but nothing of a living process."""
    _clean(folder, _WORKING, "")
    _clean(folder, _REMOVING, "")


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk.

    Args:
        path: Of the file, which does not exist.
        content: Its bytes.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and wait until their names are on the disk.

    Args:
        folder: The folder; may exist.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        with suppress(PermissionError):  # in a folder that may be written in, but not be read
            sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if _ON_WINDOWS:  # which cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(what: str, error: OSError) -> StorageError:
    """The one line about something that cannot be written.

    Args:
        what: Named in the message.
        error: Why.

    Returns:
        The error to raise.
    """
    if isinstance(error, StorageError):
        return error
    named = error.filename if isinstance(error.filename, str) and error.filename not in what else None
    return StorageError(f"cannot write {what}: {error.strerror or error}{f': {named}' if named else ''}")


def file_facts(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as a manifest holds them."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
            size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


def render_manifest(kind: str, version: int, files: Mapping[str, Mapping[str, Any]], **facts: Any) -> str:
    """The text of a manifest.

    Args:
        kind: Of the folder, such as ``"bgan_discrete.model"``.
        version: Of its format.
        files: Name -> `file_facts`.
        facts: Further entries, of plain JSON types.

    Returns:
        JSON that ends with a digest of itself.
    """
    document = {"format": kind, "format_version": version, **facts, "files": {k: dict(v) for k, v in files.items()}}
    return _render({**document, "digest": _digest(document)})


def verify_folder(
    folder: Path, kind: str, readable_version: int, what: str, within: Path | None = None
) -> dict[str, Any]:
    """Compare a folder with its manifest, byte for byte, before anything in it is used.

    Args:
        folder: With a manifest.
        kind: That the manifest must be of.
        readable_version: Of the format; others are refused.
        what: The folder's name in messages, such as ``"checkpoint"``.
        within: Where links may lead; the folder itself if None.

    Returns:
        The manifest.

    Raises:
        DamagedError: If a file or the manifest is missing or was changed; the message names it.
        NewerFormatError: If the format is a newer one.
        InputError: If the format is an older one, the manifest is of another kind, or a name points outside the folder.
    """
    named = f"{what} {str(folder)!r}"
    path = file_inside(folder, MANIFEST_FILE, named, within)
    try:
        text = read_text(path, MAX_TEXT_BYTES)
        document = strict_json(text)
        claimed = document.pop("digest")
        whole = claimed == _digest(document) and text == _render({**document, "digest": claimed})
        version, files = document["format_version"], document["files"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(f"{named} is damaged: {MANIFEST_FILE} cannot be read: {one_line(error)}") from None
    if not whole:
        raise DamagedError(f"{named} is damaged: {MANIFEST_FILE} was changed")
    if document["format"] != kind or type(version) is not int or not isinstance(files, dict):
        found = one_line(ValueError(repr(document["format"])[:100]))
        raise InputError(f"{named} is not one: its {MANIFEST_FILE} is of {found}, not of {kind!r}")
    check_version(named, version, readable_version)
    for name, facts in files.items():
        listed = file_inside(folder, name, named, within)
        try:
            same = file_facts(listed) == facts
        except OSError as error:
            raise DamagedError(f"{named}: {name} cannot be read: {error.strerror or error}") from None
        if not same:
            raise DamagedError(f"{named} is damaged: {name} is not the file that was written (size or SHA-256 differs)")
    return {**document, "digest": claimed}


def check_version(named: str, version: int, readable: int) -> None:
    """Refuse what an older or a newer version of the package wrote.

    Args:
        named: What it is, in the message.
        version: Of its format.
        readable: The version that this package reads and writes.

    Raises:
        NewerFormatError: If it is newer.
        InputError: If it is older.
    """
    # A file can hold a number of any length.
    fault = f"{named} has format version {max(-1, min(version, 10**9))}; this version of the package reads {readable}"
    if version > readable:
        raise NewerFormatError(f"{fault}: install a newer one")
    if version < readable:
        raise InputError(f"{fault}: {IF_OLDER}")


def is_plain_name(name: Any) -> bool:
    """Whether something is a plain name of a file, not hidden and without a path."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def file_inside(folder: Path, name: str, named: str, within: Path | None = None) -> Path:
    """The path of a file directly inside a folder.

    Args:
        folder: The folder.
        name: Of the file.
        named: The folder's name in messages.
        within: Where links may lead, as those of the Hub's cache do; the folder itself if None.

    Returns:
        The path.

    Raises:
        DamagedError: If there is no such file.
        InputError: If the name or a link leads out of the folder, or to something that is no file.
    """
    if not is_plain_name(name):
        raise InputError(f"{named} names a file {one_line(ValueError(repr(name)))}, which is no plain file name")
    path = folder / name
    try:
        resolved = path.resolve(strict=True)
        is_file = stat.S_ISREG(resolved.stat().st_mode)
    except (OSError, RuntimeError):  # a circle of links is a RuntimeError before Python 3.13
        raise DamagedError(f"{named} is not whole: {name} is missing") from None
    if not resolved.is_relative_to((within or folder).resolve()):
        raise InputError(f"{named}: {name} is a link that leads out of the folder")
    if not is_file:
        raise InputError(f"{named}: {name} is not a file")
    return path


def read_json(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Read an untrusted JSON file.

    Args:
        path: The file.
        max_bytes: A larger one is refused unread.

    Returns:
        What it holds.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no JSON, too large or nested too deeply, or holds NaN or infinity.
    """
    return strict_json(read_text(path, max_bytes))


def strict_json(text: str) -> Any:
    """Parse JSON without NaN and infinity; ValueError for any fault."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read_text(path: Path, max_bytes: int) -> str:
    """Read a UTF-8 file of at most ``max_bytes`` bytes; OSError and ValueError as in `read_json`."""
    return read_bytes(path, max_bytes).decode("utf-8")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of at most ``max_bytes`` bytes; OSError and ValueError as in `read_json`."""
    _refuse_irregular(path)
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it is larger than {max_bytes} bytes")
    return content


def check_regular_file(path: Path, what: str) -> None:
    """Raise InputError, which names ``what``, for a path to nothing, a folder, or a pipe or device without an end."""
    try:
        _refuse_irregular(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise InputError(f"{what} {str(path)!r} cannot be read: {reason}") from None


def _refuse_irregular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder, pipe, socket or device, not a regular file")


def _render(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _new_folder(path: Path) -> int:
    path.mkdir()
    # Windows has neither descriptors of folders nor these locks.
    return os.open(os.devnull if _ON_WINDOWS else path, os.O_RDONLY)


def _locked(parent: Path, prefix: str, suffix: str, create: Callable[[Path], int]) -> tuple[Path, int]:
    """A new path, and a descriptor that holds its lock."""
    while True:
        path = parent / f"{prefix}{secrets.token_hex(4)}{suffix}"
        try:
            descriptor = create(path)
        except FileNotFoundError:
            if parent.is_dir():
                continue  # taken away between its making and its opening, for want of a lock
            raise
        _lock(descriptor, wait=True)
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file or folder; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _clean(folder: Path, prefix: str, suffix: str) -> None:
    """Delete files of such a name without a living owner."""
    with suppress(OSError):
        for entry in sorted(folder.iterdir()):
            if re.fullmatch(f"{re.escape(prefix)}[0-9a-f]{{8}}{re.escape(suffix)}", entry.name):
                with suppress(OSError):
                    _delete_unlocked(entry)


def _delete_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if _lock(descriptor, wait=False):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
