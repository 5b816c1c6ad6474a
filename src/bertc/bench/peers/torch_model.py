"""A checkpoint as a PyTorch module whose one output is what the model is for.

It is what ``transformers`` runs and what the other peers convert. Pooling and normalization are part of
it, so that no peer copies hidden states out only to average them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertc.artifact.schema import ModelInfo
from bertc.errors import InputError

CLASSES = {
    "embedding": "AutoModel",
    "classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
}


def build(checkpoint: Path, info: ModelInfo, *, dtype: str = "float32", attention: str | None = None) -> Any:
    """Return an ``nn.Module``: input_ids, attention_mask, token_type_ids [batch, seq] -> vectors or logits.

    ``attention`` is what transformers calls the implementation: "eager" is plain products, which exporters
    recognize; by default it takes "sdpa", the fast one, where the model has it.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = getattr(transformers, CLASSES[info.task]).from_pretrained(
        checkpoint, attn_implementation=attention, dtype=getattr(torch, dtype)
    )
    model.eval().requires_grad_(False)

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            output = self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )
            if info.task != "embedding":
                return output.logits
            vectors = _pool(output, attention_mask, str(info.facts["pooling"]))
            normalize = info.facts["normalize_embeddings"]
            return torch.nn.functional.normalize(vectors, dim=1) if normalize else vectors

    return Wrapped().eval()


def example(torch: Any) -> tuple[Any, Any, Any]:
    """Return inputs for tracing: two sequences, one of them padded, as the mask must not be folded away."""
    ids = torch.arange(1, 33).reshape(2, 16)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    return ids, mask, torch.zeros_like(ids)


def _pool(output: Any, mask: Any, pooling: str) -> Any:
    hidden = output.last_hidden_state
    if pooling == "pooler":
        return output.pooler_output
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if pooling == "max":
        return (hidden + (1 - weights) * -1e9).amax(dim=1)
    if pooling == "mean":
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    raise InputError(f"peers cannot pool by {pooling!r}")
