"""Manifests, which show that a folder is unchanged, and reading files that nobody vouches for."""

import errno
import hashlib
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bgan_discrete.errors import InputError, one_line, reason_of

MANIFEST_FILE = "manifest.json"

MAX_TEXT_BYTES = 2**20
"""Manifests and configurations are a few KiB; a larger file is none."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class DamagedError(InputError):
    """A file that was changed, cut short or lost since it was written; arguments as in `InputError`."""


class NewerFormatError(InputError):
    """A folder that a newer version of the package wrote; arguments as in `InputError`."""


IF_OLDER = "train again, or use the version of the package that wrote it"
"""What to do with a file of an older format."""


def file_facts(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as a manifest holds them."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
            size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


def render_manifest(kind: str, version: int, files: Mapping[str, Mapping[str, Any]], **facts: Any) -> str:
    """JSON that ends with a digest of itself, of a folder's ``kind``, the `file_facts` of its files and more facts."""
    document = {"format": kind, "format_version": version, **facts, "files": {k: dict(v) for k, v in files.items()}}
    return _render({**document, "digest": _digest(document)})


def verify_folder(
    folder: Path, kind: str, readable_version: int, what: str, within: Path | None = None
) -> dict[str, Any]:
    """The manifest of a folder, compared with it byte for byte before anything in it is used.

    ``what`` names the folder in messages; links may lead to ``within``, or only inside the folder. Raises DamagedError
    if something is missing or was changed, NewerFormatError for a newer format, and InputError for an older one,
    another kind, or a name that points outside.
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
    """Raise NewerFormatError or InputError for what a newer or an older version of the package wrote."""
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
    """The path of a file directly inside a folder; links may lead to ``within``, as those of the Hub's cache do.

    Raises DamagedError if it is missing, InputError if it leads out or to something that is no file.
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
    """Read an untrusted JSON file; ValueError also for one too large, nested too deeply, or with NaN or infinity."""
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
        raise InputError(f"{what} {str(path)!r} cannot be read: {reason_of(error)}") from None


def _refuse_irregular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder, pipe, socket or device, not a regular file")


def _render(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
