"""Models of sentence-transformers, modules of users, and what cannot be traced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError, InputError
from bertc.frontends.huggingface import import_model
from bertc.frontends.torch import import_module
from bertc.frontends.torch.exporting import export
from bertc.frontends.torch.objects import describe
from tests.conftest import MakeArtifact
from tests.support.doors import assert_same_graph, assert_same_numbers

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["the man is playing guitar", "a dog", "hello world paris london john smith"]
FP32 = {"dtype": "fp32", "calibration": {"samples": 8, "held_out": 8}}
Forward = Callable[..., Any]


@pytest.fixture
def encoder(checkpoint: MakeArtifact) -> Any:
    return transformers.BertModel.from_pretrained(checkpoint())


def module_of(encoder: Any, forward: Forward) -> Any:
    """A user's module around an encoder; ``forward`` is that of its class."""
    kind = type("Wrapper", (torch.nn.Module,), {"forward": forward})
    module = kind()
    module.encoder = encoder
    return module


def mean(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    total = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return {"vector": torch.nn.functional.normalize(total, dim=-1)}


def maximum(self: Any, x: Any, keep: Any) -> Any:
    """Write into a copy, as older models of sentence-transformers do, which leaves the first as it was."""
    hidden = self.encoder(x, attention_mask=keep)[0]
    masked = hidden.clone()
    masked[keep == 0] = -1e9
    return masked.max(dim=1)[0], hidden


def test_a_model_of_sentence_transformers_brings_its_tokenizer(
    checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    package = pytest.importorskip("sentence_transformers")
    model = package.SentenceTransformer(str(checkpoint()), prompts={"query": "the "})
    bertc.compile(model, tmp_path / "model.bertc", FP32)
    loaded = bertc.load(tmp_path / "model.bertc")
    np.testing.assert_allclose(loaded.encode(TEXTS), model.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(
        loaded.encode(TEXTS, prompt_name="query"), model.encode(TEXTS, prompt_name="query"), atol=1e-5
    )
    assert loaded.info.max_seq_length == model.max_seq_length


def test_a_wrapper_with_pooling_becomes_an_embedder(
    encoder: Any, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    module = module_of(encoder, mean).train()
    bertc.compile(module, tmp_path / "model.bertc", FP32, tokenizer=checkpoint())
    assert all(each.training for each in module.modules()), "the module was left in another mode"
    plain = bertc.load(checkpoint(), dtype="fp32").encode(TEXTS)
    expected = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(bertc.load(tmp_path / "model.bertc").encode(TEXTS), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*has no tokenizer")
def test_example_inputs_say_what_arguments_are(encoder: Any) -> None:
    module = module_of(encoder, maximum)
    ids = torch.full((2, 5), 7)
    with pytest.raises(InputError, match="takes x, keep, of which bertc does not know"):
        import_module(module)
    found = import_module(module, example_inputs=(ids, torch.ones_like(ids)))
    assert [node.attributes.get("mode") for node in found.graph.nodes][-1] == "max"
    assert {*found.graph.outputs} == {"sentence_embedding", "last_hidden_state"}


@pytest.mark.filterwarnings("ignore:.*has no tokenizer")
def test_weights_are_not_copied_and_half_precision_is_read(encoder: Any, checkpoint: MakeArtifact) -> None:
    expected = import_model(checkpoint())
    found = import_module(encoder)
    assert_same_graph(found, expected)
    table = found.graph.constants["embeddings.word_embeddings.weight"].source.read()
    assert np.shares_memory(table, encoder.embeddings.word_embeddings.weight.detach().numpy())
    half = import_module(encoder.bfloat16())
    assert_same_graph(half, expected)
    encoder.float()
    assert_same_numbers(half, import_module(encoder))


def fixed(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    return hidden.view(2, 7, -1)


def by_value(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    return hidden * 2 if input_ids.max() > 50 else hidden


def failing(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    raise ValueError(f"my own trouble with {self}, {input_ids}, {attention_mask}")


def by_sorting(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    return self.encoder(input_ids, attention_mask=attention_mask)[0].sort(dim=-1)[0]


def of_pixels(self: Any, pixels: Any) -> Any:
    return self.encoder(pixels)


def in_place(self: Any, input_ids: Any, attention_mask: Any) -> Any:
    hidden = self.encoder(input_ids, attention_mask=attention_mask)[0]
    hidden[:, 0].mul_(2.0)
    return hidden


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (fixed, "can be traced for one number of sequences or tokens alone.*x.shape"),
        (by_value, "torch.export failed on Wrapper .*torch.where"),
        (failing, r"does not run on its example inputs, input_ids \[2, 7\].*my own trouble.*example_inputs"),
        (by_sorting, r"node 'sort' \(aten.sort.default\): the op 'sort' is not supported"),
        (of_pixels, "takes pixels, of which bertc does not know what they are: pass example_inputs"),
        (in_place, "writes into a part of another value"),
    ],
)
def test_a_module_that_cannot_be_compiled_is_told(
    encoder: Any, tmp_path: Path, forward: Forward, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(bertc.BertcError, match=f"(?s){message}"):
        bertc.compile(module_of(encoder, forward), tmp_path / "model.bertc", FP32)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"input_ids": [[1, 2]]}, "must be a tensor of whole numbers"),
        ((torch.ones(2, 5),), "must be a tensor of whole numbers"),
        ((torch.ones(1, 5, dtype=torch.int64),), r"has the shape \[1, 5\]: give 2 sequences"),
    ],
)
def test_wrong_example_inputs_are_told(encoder: Any, examples: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export(describe(encoder), examples)


def test_arguments_for_another_kind_of_source_are_told(
    encoder: Any, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"example_inputs are for an nn.Module"):
        bertc.compile(checkpoint(), tmp_path / "model.bertc", example_inputs={})
    with pytest.raises(CheckpointError, match=r"has no tokenizer: expected a folder with tokenizer.json"):
        bertc.compile(encoder, tmp_path / "model.bertc", tokenizer=tmp_path)
    with pytest.raises(CheckpointError, match="has no output 'x', only 'last_hidden_state', 'pooler_output'"):
        bertc.compile(encoder, tmp_path / "model.bertc", output_name="x")


def test_a_module_serves_the_task_that_is_asked_for_or_is_refused(
    encoder: Any, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    model = import_module(encoder, tokenizer=checkpoint(), task="late_interaction")
    assert (model.info.task, [port.name for port in model.info.outputs]) == (
        "late_interaction",
        ["token_embeddings"],
    )
    with pytest.raises(CheckpointError, match=r"task is classification, but .* make a model for embedding"):
        bertc.compile(encoder, tmp_path / "model.bertc", task="classification", tokenizer=checkpoint())
