"""Files and folders that are complete or absent."""

import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bgan_discrete.errors import InputError, StorageError

_ON_WINDOWS = os.name == "nt"
_WORKING, _REMOVING = ".writing-", ".removing-"
REPLACED = ".replaced-"
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""Beginnings of names that lead to what the process has open, which may be a file of other programs, too."""

_log = logging.getLogger(__name__)


def replace_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a UTF-8 text file as a whole; arguments and errors as in `replacing_file`."""
    content = text.encode("utf-8", errors)
    with replacing_file(path) as file:
        file.write(content)


@contextmanager
def replacing_file(path: Path, synced: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the name ``path``, in an existing folder, once it is complete.

    Until then, and after an error, the former file stays. A replaced file keeps its permissions and, where possible,
    its owner; of a link the target is replaced. A pipe or a device, such as ``/dev/stdout``, receives all bytes at the
    end. ``synced`` waits for the disk and deletes leftovers of killed processes: False for many quick files. Raises
    StorageError if the file cannot be written, or one that is there is read-only.
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
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _flags("O_NONBLOCK"))
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
    """Copy mode, access list and, where possible, owner to a file that is about to replace ``path``.

    Raises PermissionError if ``path`` may not be written, even where root or its folder would let it be replaced.
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

    A missing folder is created, and removed again if it is empty at the end; ``lock_file`` is deleted. On a file system
    without locks there is a warning. Raises InputError if the folder is a file or in use by another process or thread,
    StorageError if it cannot be created or written in.
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
    """A temporary folder in an existing one, deleted at the end; its lock keeps `clean_leftovers` of others off it."""
    path, descriptor = _locked(parent, _WORKING, "", _new_folder)
    try:
        yield path
    finally:
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def publish_folder(working: Path, final: Path) -> None:
    """Give a finished `working_folder`, its files written by `write_synced`, the name ``final`` in the same folder.

    A folder of that name is renamed to `stepped_aside` first, where a crash leaves it; its files that the new one lacks
    are kept, the rest is deleted.
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
    """Write a file that does not exist yet, and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, unless they exist, and wait until their names are on the disk."""
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
    """The error to raise where ``what`` cannot be written: one line with the reason."""
    if isinstance(error, StorageError):
        return error
    named = error.filename if isinstance(error.filename, str) and error.filename not in what else None
    return StorageError(f"cannot write {what}: {error.strerror or error}{f': {named}' if named else ''}")


def _flags(*names: str) -> int:
    """Flags of ``os.open``, as far as this system has them."""
    return sum(getattr(os, name, 0) for name in names)


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _flags("O_BINARY"), 0o666)


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
    descriptor = os.open(path, os.O_RDONLY | _flags("O_NOFOLLOW", "O_NONBLOCK"))
    try:
        if _lock(descriptor, wait=False):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
