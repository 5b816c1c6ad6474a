"""Embedders against sentence-transformers itself, on folders that it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.sentence_models import assert_close, compile_fp32, one_thread
from tests.support.texts import fifty_texts

st = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

Array = np.ndarray[Any, Any]
TEXTS = fifty_texts()
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU", "Mish")
PROMPTS = {"query": "a question: ", "document": "text - ", "odd": "Über, 2"}


__all__ = ["one_thread"]
"""A fixture for all tests here."""
pytestmark = pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"), "BertModel")


Compare = Callable[..., tuple[Any, bertc.Embedder]]


@pytest.fixture
def both(checkpoint: Path, tmp_path: Path) -> Compare:
    """Make a model of modules, save it, compile what was saved; return both."""

    def make(modules: Sequence[Any], **options: Any) -> tuple[Any, bertc.Embedder]:
        from sentence_transformers.base.modules import Transformer

        torch.manual_seed(0)
        model = st.SentenceTransformer(modules=[Transformer(str(checkpoint)), *modules], **options)
        model.save_pretrained(str(tmp_path / "model"))
        return model, compile_fp32(tmp_path / "model")

    return make


def pooling(mode: Any = "mean", **options: Any) -> Any:
    from sentence_transformers.sentence_transformer.modules import Pooling

    return Pooling(32, mode, **options)


@pytest.mark.parametrize("mode", ["lasttoken", ("lasttoken", "cls", "mean"), MODES])
def test_poolings(mode: Any, both: Compare) -> None:
    model, ours = both([pooling(mode)])
    assert_close(ours.encode(TEXTS), model.encode(TEXTS))


def test_poolings_in_the_old_spelling(both: Compare, tmp_path: Path) -> None:
    from tests.support.tiny_models import write_json

    both([pooling("mean")])
    flags = {f"pooling_mode_{kind}": True for kind in ("weightedmean_tokens", "cls_token", "max_tokens")}
    write_json(tmp_path / "model" / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **flags})
    model = st.SentenceTransformer(str(tmp_path / "model"))
    assert_close(compile_fp32(tmp_path / "model").encode(TEXTS), model.encode(TEXTS))


def test_dense_with_every_activation(both: Compare) -> None:
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm

    sizes = (32, 24, 24, 40, 33, 16, 24, 20)
    dense = [
        Dense(
            a,
            b,
            bias=index % 2 == 0,
            use_residual=index % 3 > 0,
            activation_function=getattr(torch.nn, name)(),
        )
        for index, (name, a, b) in enumerate(zip(ACTIVATIONS, sizes[:-1], sizes[1:], strict=True))
    ]
    model, ours = both([pooling(), *dense, Dropout(0.1), LayerNorm(20), Normalize()])
    assert ours.dimensions == 20
    assert_close(ours.encode(TEXTS), model.encode(TEXTS))


def test_modules_for_every_token_before_the_pooling(both: Compare) -> None:
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    dense = Dense(32, 20, module_input_name="token_embeddings")
    model, ours = both([dense, Pooling(20, "max")])
    assert_close(ours.encode(TEXTS), model.encode(TEXTS))
    assert_tokens_close(ours, model)


def assert_tokens_close(ours: bertc.Embedder, model: Any) -> None:
    found = ours.encode(TEXTS, output_value="token_embeddings")
    expected = model.encode(TEXTS, output_value="token_embeddings")
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


def test_prompts_that_no_pooling_counts(both: Compare) -> None:
    model, ours = both([pooling(MODES, include_prompt=False)], prompts=PROMPTS)
    for name in PROMPTS:
        assert_close(ours.encode(TEXTS, prompt_name=name), model.encode(TEXTS, prompt_name=name))
    assert_close(ours.encode(TEXTS), model.encode(TEXTS))


def test_prompts(both: Compare) -> None:
    model, ours = both([pooling()], prompts=PROMPTS, default_prompt_name="odd")
    for method in ("encode", "encode_query", "encode_document"):
        for options in ({}, {"prompt_name": "document"}, {"prompt": "? "}, {"prompt": ""}):
            found, expected = (getattr(each, method)(TEXTS[:9], **options) for each in (ours, model))
            assert_close(found, expected)
    pairs = [("a good dog", "the man"), ("中国", "two words")]
    assert_close(ours.encode(pairs), model.encode(pairs))
    with pytest.raises(
        InputError, match=r"prompt_name is 'none': .* has the prompts 'query', 'document', 'odd'"
    ):
        ours.encode("a", prompt_name="none")


def test_a_model_without_prompts_for_queries_and_documents(both: Compare) -> None:
    model, ours = both([pooling()], prompts={"passage": "p: "}, default_prompt_name="passage")
    for method in ("encode", "encode_query", "encode_document"):
        assert_close(getattr(ours, method)(TEXTS[:9]), getattr(model, method)(TEXTS[:9]))


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(name: str, both: Compare) -> None:
    model, ours = both([pooling()], similarity_fn_name=name)
    assert ours.similarity_fn_name == name
    vectors = model.encode(TEXTS)
    for method in ("similarity", "similarity_pairwise"):
        found = getattr(ours, method)(vectors[:20], vectors[20:40])
        expected = getattr(model, method)(vectors[:20], vectors[20:40]).numpy()
        assert found.shape == expected.shape
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert ours.similarity(vectors[0], vectors[1]).shape == (1, 1)
    with pytest.raises(InputError, match="32 and of 3 components"):
        ours.similarity(vectors, vectors[:, :3])


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions(precision: str, both: Compare) -> None:
    from sentence_transformers.util.quantization import quantize_embeddings

    model, ours = both([pooling()], truncate_dim=30)
    vectors = ours.encode(TEXTS)
    assert_close(vectors, model.encode(TEXTS))
    given = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    expected = quantize_embeddings(vectors, precision, ranges=given)
    found = ours.encode(TEXTS, precision=precision, ranges=given)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    calibrated = ours.encode(TEXTS, precision=precision)
    for options in ({}, {"normalize_embeddings": True}, {"truncate_dim": 17}):
        whole = ours.encode(TEXTS, precision=precision, **options)
        for text, row in zip(TEXTS[::7], whole[::7], strict=True):
            assert np.array_equal(ours.encode(text, precision=precision, **options), row)
    kept = ours.facts.ranges
    assert kept is not None and len(kept.low) == 32
    stored = np.array([kept.low[:30], kept.high[:30]], np.float32)
    assert np.array_equal(calibrated, quantize_embeddings(vectors, precision, ranges=stored))


def test_ranges_that_the_file_has_not(both: Compare) -> None:
    _, ours = both([pooling()])
    with pytest.raises(
        InputError, match="no ranges for int8 vectors of 8 components, normalized: give ranges"
    ):
        ours.encode(TEXTS, precision="int8", truncate_dim=8, normalize_embeddings=True)
    with pytest.raises(InputError, match="token_embeddings in uint8 need ranges"):
        ours.encode(TEXTS, precision="uint8", output_value="token_embeddings")


def test_token_embeddings(both: Compare) -> None:
    model, ours = both([pooling()])
    assert_tokens_close(ours, model)
    found = ours.encode("a good dog", output_value="token_embeddings")
    assert isinstance(found, np.ndarray) and found.shape == (5, 32)
    bits = ours.encode(TEXTS, output_value="token_embeddings", precision="binary")
    assert bits[0].dtype == np.int8 and bits[0].shape[1] == 4


def test_a_prompt_changes_no_bits_between_batches(both: Compare) -> None:
    _, ours = both([pooling("weightedmean", include_prompt=False)], prompts=PROMPTS)
    whole = ours.encode(TEXTS, prompt_name="query")
    assert all(
        np.array_equal(ours.encode([t], prompt_name="query")[0], v) for t, v in zip(TEXTS, whole, strict=True)
    )


def test_a_masked_lm_embeds_by_the_mean_and_the_certificate_says_so(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "BertForMaskedLM")
    recipe = {"dtype": "fp32", "task": "embedding", "calibration": {"samples": 8, "held_out": 8}}
    artifact = bertc.compile(tmp_path, tmp_path / "x.bertc", recipe)
    (note,) = (each for each in artifact.certificate.notes if "BertForMaskedLM" in each)
    assert note.endswith(
        "does not say how to make vectors: the mean over all tokens was taken for a sentence's vector"
    )
    ours = bertc.load(tmp_path / "x.bertc")
    assert isinstance(ours, bertc.Embedder)
    assert_close(ours.encode(TEXTS[:4]), st.SentenceTransformer(str(tmp_path)).encode(TEXTS[:4]))
