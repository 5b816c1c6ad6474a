"""SPLADE (Formal et al. 2021, arXiv:2107.05720): a weight for each entry of a masked LM's vocabulary."""

from __future__ import annotations

from bertc.heads import masked_lm
from bertc.heads.head import Head, HeadContext


def _outputs(context: HeadContext) -> dict[str, str]:
    """Append eq. 1 of the paper, pooled by its sum or, as later versions and by default, by the maximum."""
    said = [module.modes[0] for module in context.options.modules if module.kind == "splade"]
    weights = context.builder.activation(
        "log1p_relu", "sparse.activation", masked_lm.predictions(context, context.hidden)
    )
    return {"sparse_embedding": context.builder.pool("sparse.pooling", weights, said[0] if said else "max")}


HEAD = Head("sparse", "sparse", "", _outputs, masked_lm.SPELLING, spelled_as="masked_lm")
