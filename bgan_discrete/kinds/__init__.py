"""Images, text, arrays: what is particular to each, and nothing else in the package is."""

from bgan_discrete.kinds.registry import get_kind, kind_names, register_kind

__all__ = ["get_kind", "kind_names", "register_kind"]
