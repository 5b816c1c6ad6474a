"""A word for each selected token: a dense layer, a layer norm, and a matrix as large as the vocabulary.

Only the rows that a caller selects, those of masks, go through that matrix.
"""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext, transform

SPELLING = {
    "dense": "cls.predictions.transform.dense",
    "layer_norm": "cls.predictions.transform.LayerNorm",
    "decoder": "cls.predictions.decoder",
    "bias": "cls.predictions.bias",
    "words": "embeddings.word_embeddings",
}


def predictions(context: HeadContext, x: str) -> str:
    """Append the head to rows of hidden states; return a logit for each entry of the vocabulary."""
    spelling, config = context.spelling, context.config
    if config.prediction_head_size:
        x = transform(context, x, config.prediction_head_size, "first")
    return context.builder.linear(
        spelling["decoder"],
        transform(context, x, config.prediction_size),
        config.vocab_size,
        bias=config.decoder_bias,
        tied_weight=f"{spelling['words']}.weight" if context.options.tie_word_embeddings else "",
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
