"""The front end for ONNX files, of whichever exporter: operators -> foreign graph -> graph."""

from __future__ import annotations

from pathlib import Path

from bertc.errors import CheckpointError
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.onnx.importing import to_foreign
from bertc.frontends.onnx.model_file import OnnxModel, read_model
from bertc.frontends.raised_model import Beside, import_raised

_NOT_FOR_USE = ("present", "attentions", "hidden_states.")
"""How outputs begin that nothing here reads: caches of decoders, and what happens inside."""


def import_onnx(
    path: str | Path,
    *,
    task: str | None = None,
    tokenizer: str | Path | None = None,
    output: str | None = None,
) -> ImportedModel:
    """Read a model from an ONNX file.

    ``tokenizer`` is the folder of its tokenizer and config.json, by default that of the file. ``output`` is
    the output to compile, where the file has several that could be it, ``task`` what it is for. Raises
    ``CheckpointError`` that names the node which cannot be read or compiled, ``MissingExtraError`` without
    the package ``onnx``.
    """
    path = Path(path)
    model = read_model(path)
    foreign, notes = to_foreign(model, _outputs(model, output))
    return import_raised(
        foreign,
        Beside.find(path, tokenizer),
        name=_name(path.resolve()),
        files=model.folder.hashes,
        notes=(f"imported from ONNX, written by {model.producer or 'an unnamed exporter'}", *notes),
        output=output,
        task=task,
    )


def external_data(path: Path) -> list[Path]:
    """Return the files that an ONNX file keeps tensors in. Raises what :func:`import_onnx` does."""
    return [path.parent / name for name in read_model(path).folder.hashes if name != path.name]


def _name(path: Path) -> str:
    """Return the name of a file, or for ``model.onnx``, ``model_quantized.onnx`` and so on of its folder."""
    if not path.stem.startswith("model"):
        return path.stem
    return path.parent.parent.name if path.parent.name == "onnx" else path.parent.name


def _outputs(model: OnnxModel, chosen: str | None) -> list[str]:
    if chosen is None:
        return [name for name in model.outputs if not name.startswith(_NOT_FOR_USE)]
    if chosen not in model.outputs:
        raise CheckpointError(
            f"{model.path} has no output {chosen!r}, only {', '.join(map(repr, model.outputs))}"
        )
    return [chosen]


__all__ = ["external_data", "import_onnx"]
