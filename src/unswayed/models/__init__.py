"""Where a model comes from: an alias, the hub, a folder or a GGUF file; pinned, hashed, never running foreign code.

Importing this package loads no torch; `resolve` loads none either unless a GGUF file has to be converted.
"""

from unswayed.models.gguf.aliases import ALIASES, Alias
from unswayed.models.load import default_dtype, load_chat, load_model, load_tokenizer
from unswayed.models.source import ModelSource, resolve

__all__ = ["ALIASES", "Alias", "ModelSource", "default_dtype", "load_chat", "load_model", "load_tokenizer", "resolve"]
