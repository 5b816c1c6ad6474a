"""``bertc.compile``: the whole pipeline as one vertical list of named steps.

One of the few places that may reach both halves of the house: it runs the draft artifact on the
native core and compares it with the graph on the reference target, and puts what it measured into
the file.
"""

from __future__ import annotations

import dataclasses
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bertc import data, fidelity, passes
from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import FORMAT_VERSION, Manifest
from bertc.artifact.writer import write_artifact
from bertc.errors import ArtifactError, RecipeError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.lowering.lower import LoweredModel, lower
from bertc.profiles import PROFILES
from bertc.quantize.apply import apply_recipe
from bertc.recipe import Recipe
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from bertc.runtime.tokenization import Tokenizer
from bertc.version import __version__

CERTIFICATE_TOKENS = 512
"""About as many tokens of sample text are compared: the reference target takes milliseconds a token."""

OnStep = Callable[[str, float], None]
"""Called after each step with its name and the seconds it took."""


def compile(  # noqa: A001
    source: str | PathLike[str],
    output: str | PathLike[str],
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    *,
    dtype: str | None = None,
    profile: str | None = None,
) -> Artifact:
    """Compile a checkpoint into one ``.bertc`` file.

    ``source`` is a Hugging Face folder or hub id; ``recipe`` a :class:`Recipe`, a mapping, or a JSON
    or YAML file; ``dtype`` ("fp32", "bf16" or "int8") overrides the recipe's. Without either, int8.
    ``profile``, for int8, names the processors that the file is for: "vnni" or "avx2" (``bertc.profiles``).
    The file appears at ``output`` complete, or not at all. Raises ``CheckpointError``,
    ``RecipeError``, or ``ArtifactError`` if the file cannot be written.
    """
    return run_pipeline(source, output, recipe, dtype=dtype, profile=profile)


def run_pipeline(
    source: str | PathLike[str],
    output: str | PathLike[str],
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    *,
    dtype: str | None = None,
    profile: str | None = None,
    on_step: OnStep | None = None,
) -> Artifact:
    """:func:`compile` that tells ``on_step`` about its progress."""
    step = _Steps(on_step)
    chosen = step("read the recipe", lambda: _choose_recipe(recipe, dtype, profile))
    path = step("check the destination", lambda: _check_destination(output))
    model = step("import the checkpoint", lambda: import_model(_as_source(source)))
    fused = step("fuse", lambda: passes.fuse(model.graph))
    typed = step(f"quantize to {chosen.layer_dtype}", lambda: apply_recipe(fused, chosen))
    lowered = step("lower", lambda: lower(typed))
    draft = _manifest(model, lowered, chosen)
    certificate = step("certify", lambda: _certify(draft, model, lowered, fused))
    final = dataclasses.replace(draft, certificate=certificate)
    step("write", lambda: write_artifact(path, final, model.tokenizer_json, lowered.tensors))
    return open_artifact(path)


class _Steps:
    """Runs a step and reports its name and duration."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        if self._on_step is not None:
            self._on_step(name, time.perf_counter() - start)
        return result


def _choose_recipe(recipe: Any, dtype: str | None, profile: str | None) -> Recipe:
    chosen = Recipe.load(recipe)
    if dtype is not None:
        chosen = dataclasses.replace(chosen, dtype=dtype)
    if profile is None:
        return chosen
    if profile not in PROFILES:
        raise RecipeError(f"profile is {profile!r}, expected one of {', '.join(PROFILES)}")
    if chosen.dtype != "int8":
        raise RecipeError(f"profile {profile} is for dtype int8, not {chosen.dtype}: leave it out")
    return dataclasses.replace(chosen, weight_bits=PROFILES[profile].weight_bits)


def _as_source(source: str | PathLike[str]) -> str | Path:
    return source if isinstance(source, str) else Path(source)


def _check_destination(output: str | PathLike[str]) -> Path:
    """Fail before the work rather than after it."""
    path = Path(output)
    if path.is_dir():
        raise ArtifactError(f"the output {path} is a folder: name a file, such as {path / 'model.bertc'}")
    if not path.parent.is_dir():
        raise ArtifactError(f"the folder {path.parent} for the output does not exist: make it first")
    return path


def _manifest(model: ImportedModel, lowered: LoweredModel, recipe: Recipe) -> Manifest:
    provenance = {
        "source": dict(model.source),
        "bertc": __version__,
        "format_version": FORMAT_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    return Manifest(model.info, lowered.program, recipe.to_dict(), {}, provenance)


def _certify(
    draft: Manifest, model: ImportedModel, lowered: LoweredModel, reference: Graph
) -> dict[str, Any]:
    """Run the draft on the native core and the fp32 graph on the reference target, and compare."""
    with tempfile.TemporaryDirectory(prefix="bertc-") as folder:
        path = Path(folder) / "draft.bertc"
        write_artifact(path, draft, model.tokenizer_json, lowered.tensors)
        session = Session(open_artifact(path))
        tokenizer = Tokenizer(model.tokenizer_json, model.info.max_seq_length)
        batch, samples = _sample_batch(tokenizer)
        inputs = {
            "input_ids": batch.input_ids,
            "token_type_ids": np.zeros_like(batch.input_ids),
            "position_ids": _positions(batch.cu_seqlens),
            "cu_seqlens": batch.cu_seqlens,
        }
        expected = interpreter.run(reference, inputs)
        found = session.run(batch.input_ids, batch.cu_seqlens)
    return {
        "reference": "the fp32 graph on the reference target",
        "data": "the sample texts that bertc ships",
        "samples": samples,
        "tokens": len(batch.input_ids),
        "isa": session.isa,
        "outputs": {name: _compare(expected[name], found[name], name) for name in expected},
    }


def _sample_batch(tokenizer: Tokenizer) -> tuple[PackedBatch, int]:
    """Sample texts from all over the file, until there are enough tokens."""
    texts = data.sample_texts()
    chosen: list[str] = []
    tokens = 0
    # 5 and 64 have no common factor: strides of 5 visit every text once, all languages mixed.
    for index in range(len(texts)):
        if tokens >= CERTIFICATE_TOKENS:
            break
        chosen.append(texts[5 * index % len(texts)])
        tokens += len(tokenizer([chosen[-1]]).packed.input_ids)
    return tokenizer(chosen).packed, len(chosen)


def _positions(cu_seqlens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    starts = np.repeat(cu_seqlens[:-1], np.diff(cu_seqlens))
    return np.asarray(np.arange(cu_seqlens[-1]) - starts, np.int32)


def _compare(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any], name: str) -> dict[str, float]:
    if name == "logits":
        difference = float(np.abs(expected - found).max())
        return {
            "top1_agreement": fidelity.top1_agreement(expected, found),
            "largest_difference": difference,
        }
    cosines = fidelity.cosine(expected, found)
    return {"mean_cosine": float(cosines.mean()), "worst_cosine": float(cosines.min())}
