"""How well a choice fits: one number for each sequence, which is a prompt with one of its choices."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext, pooled_linear


def _outputs(context: HeadContext) -> dict[str, str]:
    return {"logits": pooled_linear(context, 1)}


HEAD = Head(
    "multiple_choice",
    "multiple_choice",
    "ForMultipleChoice",
    _outputs,
    {"dense": "pooler.dense", "activation": "tanh", "output": "classifier"},
)
