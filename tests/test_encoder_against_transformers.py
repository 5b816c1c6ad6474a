"""Answers in the shape, and with the values, that ``transformers`` gives for the same checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from tests.conftest import MakeArtifact

pytestmark = pytest.mark.native

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = [
    "John Smith lives in London.",
    "The dog plays guitar, not piano!",
    "我们在北京 with the man",
    "Paris",
]
TOLERANCE = 2e-5


@pytest.fixture(autouse=True)
def _quiet() -> None:
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


def model(checkpoint: MakeArtifact, head: str, kind: str) -> Any:
    return getattr(transformers, kind).from_pretrained(checkpoint(head), dtype=torch.float32).eval()


MASKS = {
    "right padding": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]],
    "left padding": [[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 0, 0], [1, 1, 1, 0, 1, 1]],
}


@pytest.mark.parametrize("name", MASKS)
def test_padded_call(checkpoint: MakeArtifact, artifact: MakeArtifact, name: str) -> None:
    mask = np.array(MASKS[name])
    rng = np.random.default_rng(0)
    ids, types = rng.integers(5, 300, mask.shape), rng.integers(0, 2, mask.shape)
    arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    with torch.no_grad():
        theirs = model(checkpoint, "embedding", "BertModel")(
            **{key: torch.from_numpy(value) for key, value in arrays.items()}
        )
    ours = bertc.load(artifact())(**arrays)
    kept = mask == 1
    assert ours.last_hidden_state is not None and ours.pooler_output is not None
    assert np.allclose(ours.last_hidden_state[kept], theirs.last_hidden_state.numpy()[kept], atol=TOLERANCE)
    assert not ours.last_hidden_state[~kept].any()
    first = kept[:, 0]  # theirs pools the first column, even where the mask is zero
    assert np.allclose(ours.pooler_output[first], theirs.pooler_output.numpy()[first], atol=TOLERANCE)


@pytest.mark.parametrize("top_k", [1, None])
def test_classify(checkpoint: MakeArtifact, artifact: MakeArtifact, top_k: int | None) -> None:
    pipeline = transformers.pipeline("text-classification", model=str(checkpoint("classification")))
    theirs = pipeline(TEXTS) if top_k == 1 else pipeline(TEXTS, top_k=None)
    ours = bertc.load(artifact("classification")).classify(TEXTS, top_k=top_k)
    assert _comparable(ours) == _comparable(theirs)
    pair = pipeline({"text": TEXTS[0], "text_pair": TEXTS[1]})
    assert _comparable(bertc.load(artifact("classification")).classify((TEXTS[0], TEXTS[1]))) == _comparable(
        pair
    )


@pytest.mark.parametrize("strategy", ["simple", "none"])
def test_tag(checkpoint: MakeArtifact, artifact: MakeArtifact, strategy: str) -> None:
    pipeline = transformers.pipeline(
        "token-classification", model=str(checkpoint("token_classification")), aggregation_strategy=strategy
    )
    ours = bertc.load(artifact("token_classification")).tag(TEXTS, aggregation_strategy=strategy)
    assert _comparable(ours) == _comparable(pipeline(TEXTS))


def test_encode_is_the_masked_mean(checkpoint: MakeArtifact, artifact: MakeArtifact) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint())
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(checkpoint, "embedding", "BertModel")(**inputs).last_hidden_state.numpy()
    mask = inputs["attention_mask"].numpy()[..., None]
    assert np.allclose(
        bertc.load(artifact()).encode(TEXTS), (hidden * mask).sum(1) / mask.sum(1), atol=TOLERANCE
    )


def _comparable(value: Any) -> Any:
    """With scores rounded."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return pytest.approx(value, abs=1e-4) if isinstance(value, (float, np.floating)) else value
