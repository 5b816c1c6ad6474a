"""An exported ONNX file in the place of a session, so that tasks and evaluators run on it as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bertc
from bertc.runtime.batching import PackedBatch

Array = np.ndarray[Any, Any]

ROWS = 32
"""The sequences of a padded batch."""


class OnnxSession:
    """Runs packed batches in ONNX Runtime, padded on the right."""

    def __init__(self, path: Path, *, num_threads: int = 1, rows: int = ROWS) -> None:
        """Load a file that ``bertc.export`` wrote, or ONNX Runtime's quantizer of it."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.onnx = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self._rows = rows
        length = self.onnx.get_inputs()[0].shape[1]
        self._per_token = {each.name for each in self.onnx.get_outputs() if each.shape[1] == length}
        if "start_logits" in self._per_token:
            self._per_token.add("logits")

    def run_batch(self, batch: PackedBatch, *, outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the outputs, packed, as :meth:`bertc.runtime.session.Session.run_batch` does."""
        count = len(batch.cu_seqlens) - 1
        order = np.argsort(np.diff(batch.cu_seqlens), kind="stable")  # alike lengths need little padding
        parts = [order[start : start + self._rows] for start in range(0, count, self._rows)]
        found = [self._run(batch, part) for part in parts]
        sequences: list[dict[str, Array]] = [{} for _ in range(count)]
        for part, results in zip(parts, found, strict=True):
            for place, index in enumerate(part):
                sequences[index] = {name: each[place] for name, each in results.items()}
        return {
            name: np.concatenate([each[name] for each in sequences])
            for name in sequences[0]
            if outputs is None or name in outputs
        }

    def _run(self, batch: PackedBatch, chosen: Array) -> dict[str, list[Array]]:
        """Return the rows of each output, for each of some sequences."""
        starts, lengths = batch.cu_seqlens[chosen], np.diff(batch.cu_seqlens)[chosen]
        mask = np.arange(lengths.max()) < lengths[:, None]
        results = self.run_padded(batch.inputs, starts, mask)
        return {
            name: [row[kept] for row, kept in zip(array, mask, strict=True)]
            if name in self._per_token
            else [*array[:, None]]
            for name, array in results.items()
        }

    def run_padded(self, packed: Mapping[str, Array], starts: Array, mask: Array) -> dict[str, Array]:
        """Run padded sequences; the columns that became outputs of their own are put together again."""
        places = np.where(mask, starts[:, None] + np.arange(mask.shape[1]), 0)
        feed = {"attention_mask": mask.astype(np.int64)}
        for name in [each.name for each in self.onnx.get_inputs() if each.name in packed]:
            feed[name] = np.where(mask, packed[name][places], 0).astype(np.int64)
        names = [each.name for each in self.onnx.get_outputs()]
        results = dict(zip(names, self.onnx.run(None, feed), strict=True))
        ends = [results.pop(name) for name in ("start_logits", "end_logits") if name in results]
        return {**results, "logits": np.stack(ends, axis=-1)} if ends else results


class _InOpenVino:
    """A file in OpenVINO, in float32 where it is not quantized, called as a session of ONNX Runtime is."""

    def __init__(self, path: Path, like: Any, num_threads: int) -> None:
        import openvino

        core = openvino.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": num_threads}
        self._model = core.compile_model(core.read_model(str(path)), "CPU", options)
        self.get_inputs, self.get_outputs = like.get_inputs, like.get_outputs

    def run(self, _: None, feed: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in the order of the file."""
        found = self._model(feed)
        return [found[each.name] for each in self.get_outputs()]


def in_openvino(model: bertc.Encoder, path: Path, *, num_threads: int = 1) -> Any:
    """Return a loaded model whose session is an ONNX file that OpenVINO runs."""
    session = OnnxSession(path, num_threads=num_threads)
    session.onnx = _InOpenVino(path, session.onnx, num_threads)
    found: Any = session
    return type(model)(found, model.tokenizer, model.info)


def in_onnx_runtime(model: bertc.Encoder, path: Path, *, num_threads: int = 1) -> Any:
    """Return a loaded model whose session is an ONNX file: same tokenizer, same task."""
    session: Any = OnnxSession(path, num_threads=num_threads)
    return type(model)(session, model.tokenizer, model.info)
