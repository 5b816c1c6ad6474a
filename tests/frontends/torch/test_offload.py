"""Modules whose parts no native op computes: the numbers are PyTorch's, through both of its doors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError
from bertc.frontends.torch import import_module
from bertc.primitives.host_steps import find_host_steps
from tests.conftest import MakeArtifact

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*has no tokenizer"),
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
]

FP32 = {"dtype": "fp32", "calibration": {"samples": 8, "held_out": 8}}
Forward = Callable[..., Any]


@pytest.fixture
def encoder(checkpoint: MakeArtifact) -> Any:
    return transformers.BertModel.from_pretrained(checkpoint(), attn_implementation="eager").eval()


def module_of(encoder: Any, forward: Forward) -> Any:
    """A user's module around an encoder, with layers that some of the forwards below use."""
    module = type("Wrapper", (torch.nn.Module,), {"forward": forward})()
    width = encoder.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    module.encoder = encoder
    module.conv = torch.nn.Conv1d(width, width, 3, padding="same", groups=4)
    module.gate, module.dense = (torch.nn.Linear(width, width) for _ in range(2))
    for weights in (*module.conv.parameters(), *module.gate.parameters(), *module.dense.parameters()):
        weights.data = torch.randn(weights.shape, generator=generator) * 0.3
    return module.eval()


def gated(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    """A product of two hidden states, and a sine."""
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    return {"last_hidden_state": torch.sin(self.dense(hidden)) * torch.sigmoid(self.gate(hidden))}


def convolved(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    """A convolution over tokens, to which padding is zeros."""
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    hidden = hidden * attention_mask.unsqueeze(-1).to(hidden.dtype)
    mixed = self.conv(hidden.transpose(1, 2)).transpose(1, 2)
    return {"last_hidden_state": torch.nn.functional.elu(self.dense(mixed))}


def soft_maximum(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    """The log of a sum of exponentials over the tokens that are no padding."""
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    kept = hidden.masked_fill(attention_mask[:, :, None] == 0, -1e4)
    return {"sentence_embedding": torch.logsumexp(kept, dim=1)}


def biased(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    """Attention whose scores have a bias by distance, which is computed of the length."""
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    places = torch.arange(input_ids.shape[1], device=hidden.device)
    far = (places[:, None] - places[None, :]).abs().to(hidden.dtype) * -0.1
    low = (1.0 - attention_mask[:, None, :].to(hidden.dtype)) * -10000.0
    scores = self.dense(hidden) @ self.gate(hidden).transpose(1, 2) + far + low
    return {"last_hidden_state": torch.softmax(scores, -1) @ hidden}


def careless(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    """A convolution that sees padding: what it gives depends on the longest sequence of the batch."""
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    return {"last_hidden_state": self.conv(hidden.transpose(1, 2)).transpose(1, 2)}


FORWARDS = {
    "gated": (gated, "sin"),
    "convolved": (convolved, "conv1d"),
    "soft maximum": (soft_maximum, "logsumexp"),
    "biased": (biased, "softmax"),
}


def batch() -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(9) < torch.tensor([9, 2, 6, 1])[:, None]).long()
    return torch.randint(5, 300, mask.shape, generator=generator) * mask, mask


def run(path: Path, ids: Any, mask: Any) -> Any:
    """The output of a compiled file on a padded batch, padding zero."""
    with pytest.warns(UserWarning, match="run on the host"):
        model = bertc.load(path)
    found = model(ids.numpy(), mask.numpy())
    if model.info.output("last_hidden_state") is not None:
        return found.last_hidden_state
    kept = mask.numpy().astype(bool)
    bounds = np.cumsum([0, *kept.sum(axis=1)]).astype(np.int32)
    return model.session.run(ids.numpy()[kept].astype(np.int32), bounds)["sentence_embedding"]


def expected_of(module: Any, ids: Any, mask: Any) -> Any:
    with torch.no_grad():
        (found,) = module(ids, mask).values()
    return (found if found.ndim == 2 else found * mask.unsqueeze(-1)).numpy()


@pytest.mark.parametrize("name", FORWARDS)
def test_a_module_is_computed_as_pytorch_does(name: str, encoder: Any, tmp_path: Path) -> None:
    forward, op = FORWARDS[name]
    module, (ids, mask) = module_of(encoder, forward), batch()
    artifact = bertc.compile(module, tmp_path / "m.bertc", FP32)
    regions = find_host_steps(artifact.manifest.program.steps).values()
    assert any(f"aten.{op}" in source for region in regions for source in region.sources)
    expected = expected_of(module, ids, mask)
    found = run(tmp_path / "m.bertc", ids, mask)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", FORWARDS)
def test_so_is_its_trace(name: str, encoder: Any, tmp_path: Path) -> None:
    module, (ids, mask) = module_of(encoder, FORWARDS[name][0]), batch()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.full((2, 7), 9), torch.ones((2, 7), dtype=torch.long))
        traced = torch.jit.trace(module, example, check_trace=False, strict=False)
    traced.save(str(tmp_path / "m.pt"))
    bertc.compile(tmp_path / "m.pt", tmp_path / "m.bertc", FP32, allow_torchscript=True)
    expected = expected_of(module, ids, mask)
    found = run(tmp_path / "m.bertc", ids, mask)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_what_depends_on_padding_is_refused_by_the_proof(encoder: Any) -> None:
    with pytest.raises(CheckpointError, match=r"node .*differs.*padding"):
        import_module(module_of(encoder, careless))
