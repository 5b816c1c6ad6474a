"""A word for each selected token: a dense layer, a layer norm, and a matrix as large as the vocabulary.

Only the rows that a caller selects, those of masks, go through that matrix.
"""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext

SPELLING = {
    "dense": "cls.predictions.transform.dense",
    "layer_norm": "cls.predictions.transform.LayerNorm",
    "decoder": "cls.predictions.decoder",
    "bias": "cls.predictions.bias",
}


def predictions(context: HeadContext, x: str) -> str:
    """Append the head to rows of hidden states; return a logit for each entry of the vocabulary."""
    builder, spelling, config = context.builder, context.spelling, context.config
    dense = builder.linear(spelling["dense"], x, config.prediction_size)
    activation = spelling.get("activation", config.activation)
    dense = builder.activation(activation, f"{spelling['dense']}.activation", dense)
    normed = builder.layer_norm(spelling["layer_norm"], dense, config.layer_norm_eps)
    return builder.linear(
        spelling["decoder"],
        normed,
        config.vocab_size,
        tied_weight="embeddings.word_embeddings.weight" if context.options.tie_word_embeddings else "",
        tied_bias=spelling["bias"],
    )


def selected_predictions(context: HeadContext) -> str:
    """Append the head to the tokens that callers select."""
    return predictions(context, context.builder.select("cls.selected", context.hidden))


HEAD = Head(
    "masked_lm",
    "masked_lm",
    "ForMaskedLM",
    lambda context: {"logits": selected_predictions(context)},
    SPELLING,
)
