"""A model's folder: its files are replaced together, and its card goes with them."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from bgan_discrete import __version__
from bgan_discrete.durable import (
    clean_leftovers,
    keep_permissions,
    make_folder,
    storage_error,
    sync_folder,
    working_folder,
)
from bgan_discrete.errors import one_line
from bgan_discrete.game.players import Generator
from bgan_discrete.kinds.kind import Kind
from bgan_discrete.manifests import MANIFEST_FILE, read_json
from bgan_discrete.models.format import MODEL_FILES, check_own, model_content, write_model
from bgan_discrete.nn.rounds import RoundsGenerator
from bgan_discrete.publishing.card import (
    ModelFacts,
    Samples,
    existing_card,
    existing_picture,
    pointed_at,
    remove_card,
    render_card,
    write_card,
)
from bgan_discrete.publishing.hub import check_repo_id
from bgan_discrete.reporting.rounds import OWN, sentence_of_rounds


def save_model(
    folder: Path, repo_id: str | None, kind: Kind, generator: Generator, codec: Any, origin: Path | None
) -> None:
    """Write what `Pipeline.save` promises; ``origin`` is the folder that the model was loaded from."""
    reference = None if repo_id is None else check_repo_id(repo_id)
    tensors, config = model_content(generator)
    check_own(folder)
    try:
        make_folder(folder)
        clean_leftovers(folder)
        with working_folder(folder) as working:
            write_model(working, tensors, config, codec.to_json())
            for file in MODEL_FILES:
                keep_permissions(folder / file, working / file)
            sync_folder(working)
            facts = model_facts(kind, generator, codec)
            card, picture = _card(working, reference or folder.resolve().name, facts, origin)
            with suppress(OSError):
                remove_card(folder)
            # The configuration first: it asks for a manifest of these files, and one that is there is another's.
            for file in MODEL_FILES:
                (working / file).replace(folder / file)
                sync_folder(folder)
    except OSError as error:
        raise storage_error(f"model {str(folder)!r}", error) from None
    try:
        write_card(folder, card, picture)
    except OSError as error:
        warnings.warn(f"the model is saved, its card is not: {one_line(error)}", stacklevel=3)


def _card(working: Path, reference: str, facts: ModelFacts, origin: Path | None) -> tuple[str, bytes | None]:
    """The card of the model whose files have just been written: its own if it is the one that was loaded."""
    if origin is not None:
        with suppress(OSError, ValueError, LookupError, TypeError):
            same = read_json(origin / MANIFEST_FILE)["files"] == read_json(working / MANIFEST_FILE)["files"]
            known = existing_card(origin) if same else None
            if known is not None:
                return pointed_at(known, reference), existing_picture(origin, known)
    return render_card(facts, None, Samples(), reference), None


def model_facts(kind: Kind, generator: Generator, codec: Any) -> ModelFacts:
    """What a model card says of a model, whatever its training."""
    return ModelFacts(
        words=kind.words(codec),
        generator=type(generator).__name__,
        parameters=sum(parameter.numel() for parameter in generator.parameters()),
        sample=generator.space.event_shape,
        categories=codec.num_categories,
        codec=codec.describe(),
        version=__version__,
        rounds=_sentence_of_rounds(generator),
    )


def _sentence_of_rounds(generator: Generator) -> str:
    """How a generator draws in rounds; nothing of others."""
    if not isinstance(generator, RoundsGenerator) or generator.num_rounds == 1:
        return ""
    order, cut = (generator.settings.get(name, OWN) for name in ("order", "cut"))
    return sentence_of_rounds(order, cut, generator.sizes)
