"""Makes one tokenizer JSON from a folder's files, with the ids of ``AutoTokenizer`` of ``transformers`` 5.

Padding is left out. Truncation is in it only where a text loses its beginning instead of its end.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tokenizers import Tokenizer, models, normalizers, processors

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.sentencepiece_model import read_sentencepiece
from bertc.frontends.tokenizer_classes import AS_IT_IS, TOKENIZER_CLASSES, TokenizerClass, Vocabulary
from bertc.frontends.tokenizer_settings import read_settings

TOKENIZER = "tokenizer.json"
_TYPES = "token_type_ids"
VOCABULARY_FILES = (
    TOKENIZER,
    *dict.fromkeys(files[0] for known in TOKENIZER_CLASSES.values() for files in known.files),
)
"""The files that tell that a folder has a tokenizer."""
_MASK_TOKENS = ("[MASK]", "<mask>")
"""The mask token of a tokenizer whose folder does not say which it is."""
_SIDES = ("right", "left")
_NO_SPECIAL_TOKENS = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
_NO_TYPES = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:0", special_tokens=[])
_WITHOUT_EFFECT: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "auto_map": ("the code that it names is not run", (None,)),
    "fast_tokenizer_files": (f"{TOKENIZER} is used", (None,)),
    "never_split": ("transformers 5 has dropped it", (None, [])),
    "do_basic_tokenize": ("transformers 5 has dropped it", (None, True)),
}
"""Keys of tokenizer_config.json that change nothing, why, and the values that would change nothing anyway."""


def read_tokenizer(
    folder: CheckpointFolder,
    subfolder: str,
    config: Mapping[str, Any],
    sentence_config: Mapping[str, Any],
    *,
    default_class: str,
    limit: int,
) -> str:
    """Return the tokenizer's JSON.

    ``config`` is tokenizer_config.json, ``default_class`` the tokenizer class where it names none, and
    ``limit`` the longest sequence in tokens. sentence-transformers lower-cases texts itself when
    ``sentence_config`` says so: that is written into the JSON.
    Raises ``CheckpointError`` if files are missing, or if the ``tokenizers`` library refuses them; warns
    of what is not done as ``transformers`` does it.
    """
    name = str(config.get("tokenizer_class") or default_class)
    known = TOKENIZER_CLASSES.get(name.removesuffix("Fast"))
    data = folder.read_json(subfolder + TOKENIZER) if folder.has(subfolder + TOKENIZER) else None
    if data is None and not _vocabulary_files(folder, subfolder, known):
        raise CheckpointError(_what_is_missing(folder, subfolder, name, known))
    _warn_of_what_differs(config, name)
    settings = read_settings(folder, subfolder, {**_defaults(data, known), **config}, data)
    with _name_the_file(folder, subfolder + ("" if data is None else TOKENIZER)):
        if known is None:
            tokenizer = Tokenizer.from_str(_compact({**(data or {}), "padding": None, "truncation": None}))
            settings.add_tokens(tokenizer, {})
            tokenizer.post_processor = tokenizer.post_processor or _NO_SPECIAL_TOKENS
        else:
            tokenizer = known.make(_vocabulary(folder, subfolder, data, known), settings)
        if sentence_config.get("do_lower_case"):
            steps = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
            tokenizer.normalizer = normalizers.Sequence(steps)
        made = json.loads(tokenizer.to_str())
        if data is not None:
            _warn_of_replaced_rules(data, made, name)
            if known is not None and known.keeps_processor and data.get("post_processor"):
                made["post_processor"] = data["post_processor"]
        made["truncation"] = _truncation(settings.options, limit)
        if not _has_types(settings.options, name, known):
            made["post_processor"] = _without_types(made["post_processor"])
        if settings.options.get("split_special_tokens"):
            _split_special_tokens(made)
        text = _compact(made)
        Tokenizer.from_str(text)
    return text


def tokens_beyond(tokenizer_json: str, vocab_size: int) -> list[str]:
    """Return the tokens whose ids lie beyond the last row of a table of ``vocab_size`` rows, sorted by id."""
    ids = Tokenizer.from_str(tokenizer_json).get_vocab(with_added_tokens=True)
    return sorted((token for token, number in ids.items() if number >= vocab_size), key=ids.__getitem__)


def has_token(tokenizer_json: str, token: str) -> bool:
    """Return whether the tokenizer has an entry for the token."""
    return Tokenizer.from_str(tokenizer_json).token_to_id(token) is not None


def mask_token_of(tokenizer_json: str, config: Mapping[str, Any]) -> str | None:
    """Return what a text spells a masked word by, None if the tokenizer has no token for it."""
    said = config.get("mask_token")
    token = said.get("content") if isinstance(said, dict) else said
    tokens = (str(token),) if token else _MASK_TOKENS
    return next((each for each in tokens if has_token(tokenizer_json, each)), None)


def _vocabulary_files(
    folder: CheckpointFolder, subfolder: str, known: TokenizerClass | None
) -> tuple[str, ...]:
    """Return the files of the folder that serve instead of tokenizer.json, none if it lacks one of them."""
    for files in known.files if known else ():
        if all(folder.has(subfolder + file) for file in files):
            return files
    return ()


def _what_is_missing(
    folder: CheckpointFolder, subfolder: str, name: str, known: TokenizerClass | None
) -> str:
    path = str(folder.path / subfolder)
    others = [file for files in known.files for file in files] if known else []
    instead = f", and so is {' or '.join(others)}" if others else ""
    return (
        f"{subfolder}{TOKENIZER} is missing in {folder.path}{instead} (tokenizer_class {name}). Write it "
        f"with transformers: AutoTokenizer.from_pretrained({path!r}).save_pretrained({path!r})"
    )


def _warn_of_what_differs(config: Mapping[str, Any], name: str) -> None:
    if name.removesuffix("Fast") not in TOKENIZER_CLASSES and name not in AS_IT_IS:
        warnings.warn(
            f"tokenizer_class {name!r} is not known here: {TOKENIZER} is used as it is, without rules that "
            "this class may add. Compare its ids with those of AutoTokenizer",
            stacklevel=4,
        )
    for key, (why, harmless) in _WITHOUT_EFFECT.items():
        if key in config and config[key] not in harmless:
            warnings.warn(f"tokenizer_config.json: {key} has no effect: {why}", stacklevel=4)


def _warn_of_replaced_rules(data: Mapping[str, Any], made: Mapping[str, Any], name: str) -> None:
    """Warn where a class makes something else of tokenizer.json than it says: often it is the wrong class."""
    for part in ("model", "pre_tokenizer"):
        there, now = ((each.get(part) or {}).get("type") for each in (data, made))
        if there != now and (part, there) != ("model", None):  # old files do not name their model
            warnings.warn(
                f"{TOKENIZER} has the {part} {there}, of which {name} makes {now}, as in transformers 5 "
                f"(not in 4). If that is not meant, set tokenizer_class to PreTrainedTokenizerFast in "
                f"tokenizer_config.json: then {TOKENIZER} is used as it is",
                stacklevel=4,
            )


def _defaults(data: Mapping[str, Any] | None, known: TokenizerClass | None) -> dict[str, Any]:
    """Return settings of tokenizer.json that hold where tokenizer_config.json has none."""
    defaults: dict[str, Any] = {}
    truncation, padding = (data or {}).get("truncation"), (data or {}).get("padding")
    if truncation:
        defaults["truncation_side"] = truncation.get("direction", "Right").lower()
    if padding and known is None:
        defaults["pad_token"] = padding["pad_token"]
    return defaults


@contextmanager
def _name_the_file(folder: CheckpointFolder, file: str) -> Iterator[None]:
    """Turn what the tokenizers library raises into ``CheckpointError``: bare ``Exception``, and panics."""
    try:
        yield
    except CheckpointError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{folder.path / file} is not a tokenizer: {error}") from None


def _vocabulary(
    folder: CheckpointFolder, subfolder: str, data: Mapping[str, Any] | None, known: TokenizerClass
) -> Vocabulary:
    if data is not None:
        model, normalizer = data["model"], data.get("normalizer") or {}
        pairs = (each.split(" ") if isinstance(each, str) else each for each in model.get("merges", ()))
        steps = normalizer["normalizers"] if normalizer.get("type") == "Sequence" else [normalizer]
        steps = [step for step in steps if step]
        return Vocabulary(model["vocab"], [tuple(pair) for pair in pairs], steps)
    files = _vocabulary_files(folder, subfolder, known)
    if files[0].endswith(".model"):
        model = read_sentencepiece(folder, subfolder + files[0])
        table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(model.charsmap).decode()}
        return Vocabulary(model.pieces, [], [table] if model.charsmap else [], model.added)
    for file in files:
        folder.map(subfolder + file)  # checks it, and remembers its hash
    paths = [str(folder.path / subfolder / file) for file in files]
    if len(paths) == 1:
        return Vocabulary(models.WordPiece.read_file(paths[0]), [], [])
    return Vocabulary(*models.BPE.read_file(*paths), [])


def _truncation(options: Mapping[str, Any], limit: int) -> dict[str, Any] | None:
    """Return the JSON of a truncation that keeps the end, or None for the beginning, which is the default."""
    side = options.get("truncation_side", "right")
    if side not in _SIDES:
        raise CheckpointError(
            f"tokenizer_config.json: truncation_side is {side!r}, expected {' or '.join(_SIDES)}"
        )
    left = {"direction": "Left", "max_length": limit, "strategy": "LongestFirst", "stride": 0}
    return left if side == "left" else None


def _has_types(options: Mapping[str, Any], name: str, known: TokenizerClass | None) -> bool:
    """Return whether the model is given token types; of an unknown class, those that tokenizer.json makes."""
    names = options.get("model_input_names")
    if names is not None:
        return _TYPES in names
    return known.has_token_types if known else name not in AS_IT_IS


def _without_types(processor: dict[str, Any]) -> dict[str, Any]:
    """Return a post-processor, as JSON, with all token types 0."""
    steps = processor["processors"] if processor["type"] == "Sequence" else [processor]
    if all(step["type"] == "ByteLevel" for step in steps):  # it makes no types: they are there before it
        return {"type": "Sequence", "processors": [*steps, json.loads(_NO_TYPES.__getstate__())]}
    return {"type": "Sequence", "processors": [_typeless(step) for step in steps]}


def _typeless(step: dict[str, Any]) -> dict[str, Any]:
    if step["type"] == "BertProcessing":
        (cls, _), (sep, _) = step["cls"], step["sep"]
        template = processors.TemplateProcessing(
            single=[cls, "$A", sep],
            pair=[cls, "$A", sep, "$B", sep],
            special_tokens=[tuple(step["cls"]), tuple(step["sep"])],
        )
        made: dict[str, Any] = json.loads(template.__getstate__())
        return made
    if step["type"] != "TemplateProcessing":
        return step
    pieces = {
        part: [{kind: {**each, "type_id": 0}} for piece in step[part] for kind, each in piece.items()]
        for part in ("single", "pair")
    }
    return {**step, **pieces}


def _split_special_tokens(made: dict[str, Any]) -> None:
    """Let special tokens within texts be read as any other text."""
    made["added_tokens"] = [each for each in made["added_tokens"] if not each["special"]]
    ids = Tokenizer.from_str(_compact(made)).get_vocab()
    if any(ids[each["content"]] != each["id"] for each in made["added_tokens"]):
        raise CheckpointError(
            "tokenizer_config.json: split_special_tokens together with special tokens outside the "
            "vocabulary is not supported. Set it to false"
        )


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
