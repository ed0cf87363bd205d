"""The Hugging Face Hub: what a model's name means, and its files down and up.

Only this module imports ``huggingface_hub``, and only when the Hub is used. Its own settings apply: ``HF_TOKEN`` and
``hf auth login``, ``HF_HOME`` for the cache, ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgan_discrete import __version__
from bgan_discrete.durable import storage_error
from bgan_discrete.errors import BGANError, InputError, one_line
from bgan_discrete.manifests import MANIFEST_FILE, MAX_TEXT_BYTES, is_plain_name, read_json, read_text
from bgan_discrete.publishing.card import CARD_FILE, is_as_written, tells_of_run, with_license

SCHEME = "hf://"
"""Before an id that is to be asked of the Hub whatever folders are here."""

MAX_FILES = 16
"""That a manifest of a model names; ours name three."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_STUB = re.compile(r"\s*(?:---\n(?:license: *(?P<license>[\w.+-]+) *\n)?---)?\s*", re.ASCII)
"""A card of metadata alone, such as the Hub makes for a new repository."""

_LIBRARY: dict[str, Any] = {"library_name": "bgan_discrete", "library_version": __version__}
_HTTP_LIBRARIES = ("requests", "httpx", "httpx2", "httpcore", "httpcore2", "urllib3")


@dataclass(frozen=True)
class ModelPlace:
    """A model's folder, and where links in it may lead: the Hub's cache links to a folder beside it."""

    folder: Path
    within: Path


def find_model(
    model: "str | os.PathLike[str]", kind: str, revision: str | None = None, token: str | bool | None = None
) -> ModelPlace:
    """The folder of a model, not looked into: one that is here, or that of a Hub id, fetched into the Hub's cache.

    A folder that exists wins over a Hub id. The Hub is not asked about what looks like a path (`names_hub_model`). A
    token of None is that of ``HF_TOKEN`` or ``hf auth login``, False is none.
    """
    if not isinstance(model, (str, os.PathLike)) or not str(model).strip():
        raise InputError(f"model must be the path of a folder or a Hub id, got {model!r}")
    if not names_hub_model(model):
        if revision is not None:
            raise InputError(f"revision {revision!r} is for models of the Hub; {str(model)!r} is a folder")
        folder = Path(model)
        return ModelPlace(folder, folder)
    folder = _fetch(str(model).removeprefix(SCHEME), kind, revision, token)
    return ModelPlace(folder, folder.parent.parent)


def names_hub_model(model: "str | os.PathLike[str]") -> bool:
    """Whether to ask the Hub; False for a folder that exists, InputError for what looks like a path and is no folder.

    Such are `os.PathLike` objects, names that begin with ``.``, ``/`` or ``~`` or hold a backslash or several slashes,
    and those whose first part is a folder here.
    """
    text = str(model)
    is_text = isinstance(model, str)
    if is_text and text.startswith(SCHEME):
        if not _ID.fullmatch(text.removeprefix(SCHEME)):
            raise InputError(f"model {text!r} must be {SCHEME}owner/name")
        return True
    path = Path(model)
    if _is_folder(path):
        return False
    hint = "give the 'model' folder of a run, or the id of a model on the Hub (owner/name)"
    if os.path.lexists(text):
        raise InputError(f"model {text!r} is not a folder; {hint}")
    if not is_text or not _ID.fullmatch(text):
        raise InputError(f"model {text!r} is not a folder that exists; {hint}")
    if _is_folder(path.parent):
        raise InputError(
            f"model {text!r} is not a folder that exists, though {str(path.parent)!r} does; {hint}, "
            f"or {SCHEME}{text} if the Hub is meant"
        )
    return True


def check_repo_id(repo_id: str) -> str:
    """A repository's id without `SCHEME`; InputError if it is not ``owner/name``."""
    found = repo_id.removeprefix(SCHEME) if isinstance(repo_id, str) else ""
    if not _ID.fullmatch(found):
        raise InputError(f"repo_id must be owner/name, got {repo_id!r}")
    return found


def push_folder(
    folder: Path,
    names: Sequence[str],
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload model",
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload files of a folder as one commit, and give its address; the repository is made if there is none.

    A card that somebody wrote or edited on the Hub stays, unless the one that is uploaded was edited too; so does one
    that tells more of the very same model. The licence of a card that holds nothing else goes into the new card.
    InputError also if a repository that is to be private exists and is public.
    """
    repo_id = check_repo_id(repo_id)
    if not commit_message.strip():
        raise InputError("commit_message must not be empty")
    with _told(repo_id, revision):
        from huggingface_hub import CommitOperationAdd, HfApi

        silence = _silence()
        if silence is not None:
            raise InputError(f"model {repo_id!r} is not uploaded: the Hub does not answer: {one_line(silence)}")
        api = HfApi(token=token, **_LIBRARY)
        api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise InputError(f"repo_id {repo_id!r} exists and is public; nothing was uploaded: make it private first")
        added = [CommitOperationAdd(name, folder / name) for name in names if name != CARD_FILE]
        card = _card_to_upload(folder, repo_id, revision, token) if CARD_FILE in names else None
        if card is not None:
            added.append(CommitOperationAdd(CARD_FILE, card.encode()))
        done = api.create_commit(
            repo_id, added, commit_message=commit_message, revision=revision, create_pr=create_pr or None
        )
    return str(done.pr_url or done.commit_url)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _fetch(repo_id: str, kind: str, revision: str | None, token: str | bool | None) -> Path:
    """The manifest first, and then what it names, of the same commit."""
    with _told(repo_id, revision):
        silence = None if _is_there(repo_id, revision) else _silence()
        manifest = _download(repo_id, MANIFEST_FILE, revision, token, silence)
        # The cache has a folder for each commit: what is there already is not asked of the Hub again.
        commit = manifest.parent.name
        for name in _listed(manifest, repo_id, kind):
            _download(repo_id, name, commit, token, silence)
    return manifest.parent


def _is_there(repo_id: str, revision: str | None) -> bool:
    """Whether the manifest of a commit is in the cache, so that nothing is asked of the Hub."""
    from huggingface_hub import try_to_load_from_cache

    is_commit = revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None
    return is_commit and isinstance(try_to_load_from_cache(repo_id, MANIFEST_FILE, revision=revision), str)


def _silence() -> Exception | None:
    """Why the Hub does not answer, or None: its library would ask again for half a minute, and print each time."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:
        return error
    return None


def _download(
    repo_id: str, name: str, revision: str | None, token: str | bool | None, silence: Exception | None = None
) -> Path:
    """A file, from the cache where it is there; from nowhere else if the Hub does not answer."""
    from huggingface_hub import errors, hf_hub_download

    alone = silence is not None
    try:
        return Path(hf_hub_download(repo_id, name, revision=revision, token=token, local_files_only=alone, **_LIBRARY))
    except errors.LocalEntryNotFoundError:
        if silence is not None:
            raise silence from None
        raise


def _listed(manifest: Path, repo_id: str, kind: str) -> list[str]:
    try:
        document = read_json(manifest)
        found, files = document["format"], list(document["files"])
    except (ValueError, LookupError, TypeError):
        found, files = None, []
    if found != kind:
        raise InputError(f"model {repo_id!r} on the Hub is no model of bgan_discrete: its {MANIFEST_FILE} is another's")
    if len(files) > MAX_FILES or not all(map(is_plain_name, files)):
        raise InputError(f"model {repo_id!r} on the Hub names files in its {MANIFEST_FILE} that no model has")
    return files


def _card_to_upload(folder: Path, repo_id: str, revision: str | None, token: str | bool | None) -> str | None:
    """The card that goes up; None where the one on the Hub stays."""
    from huggingface_hub import errors

    def remote(name: str) -> str | None:
        try:
            return read_text(_download(repo_id, name, revision, token), MAX_TEXT_BYTES)
        except ValueError:
            return "not text"
        except (errors.EntryNotFoundError, errors.RevisionNotFoundError):  # an empty repository has no revision
            return None

    there, here = remote(CARD_FILE), read_text(folder / CARD_FILE, MAX_TEXT_BYTES)
    if there is None or not is_as_written(here):
        return here
    stub = _STUB.fullmatch(there)
    if stub:
        return with_license(here, stub["license"]) if stub["license"] else here
    if not is_as_written(there):
        return None
    same = remote(MANIFEST_FILE) == read_text(folder / MANIFEST_FILE, MAX_TEXT_BYTES)
    return None if same and tells_of_run(there) and not tells_of_run(here) else here


@contextmanager
def _told(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's library raises into one line."""
    from huggingface_hub import errors

    named = f"model {repo_id!r}"
    try:
        yield
    except BGANError:
        raise
    except errors.GatedRepoError:
        raise InputError(
            f"{named} is gated: ask for access on its page, then log in (hf auth login) or give a token that has it"
        ) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{named} is neither a folder here nor on the Hub, or it is private and no token opens it "
            "(hf auth login, or HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{named} has no revision {revision!r} on the Hub") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise InputError(f"{named} {_unreachable(error)}") from None
    except errors.EntryNotFoundError:
        raise InputError(
            f"{named} on the Hub is no model of bgan_discrete: a file is missing ({MANIFEST_FILE} or one that it names)"
        ) from None
    except errors.HFValidationError as error:
        raise InputError(f"{named}: {one_line(error)}") from None
    except errors.HfHubHTTPError as error:
        raise InputError(f"{named}: the Hub refuses: {_refusal(error)}") from None
    except Exception as error:
        if type(error).__module__.split(".")[0] in _HTTP_LIBRARIES:
            raise InputError(f"{named} {_unreachable(error)}") from None
        if isinstance(error, OSError):
            raise storage_error(f"{named} into the Hub's cache", error) from None
        raise


def _unreachable(error: Exception) -> str:
    cause = error.__cause__ or error
    absent = "is neither a folder here nor in the Hub's cache"
    if "Offline" in type(cause).__name__:
        return f"{absent}, and HF_HUB_OFFLINE forbids to ask the Hub"
    return f"{absent}, and the Hub cannot be reached: {type(cause).__name__}: {one_line(cause)}"


def _refusal(error: Any) -> str:
    said, response = error.server_message, error.response
    status = None if response is None else response.status_code
    hint = "; is the token right, and may it write there? (hf auth login, or HF_TOKEN)" if status in (401, 403) else ""
    return (f"{status} {one_line(ValueError(said))}" if said and status else one_line(error)) + hint
