"""A vector for each token, as ColBERT has it (Khattab and Zaharia 2020, arXiv:2004.12832)."""

from __future__ import annotations

from bertc.heads.embedding import append_modules
from bertc.heads.head import Head, HeadContext


def _outputs(context: HeadContext) -> dict[str, str]:
    if context.options.partial_attention:
        context.builder.flag_attention()
    return {"token_embeddings": append_modules(context.builder, context.hidden, context.options.modules)}


HEAD = Head("late_interaction", "late_interaction", "", _outputs)
