"""JinaBERT v2 in PyTorch, to compare ours with: its own code is on the hub, not in ``transformers``.

Written from Guenther et al. 2023 (arXiv:2310.19923, sec. 3: BERT without position embeddings, with gated
linear units and a bidirectional ALiBi), Press et al. 2022 (arXiv:2108.12409, sec. 3: slopes), Shazeer 2020
(arXiv:2002.05202: GEGLU and ReGLU), and what is published at ``jinaai/jina-embeddings-v2-base-en``:
config.json and the names and shapes of the tensors. With norms of queries and keys (``qk_post_norm``) it is
what text-embeddings-inference computes for ``jinaai/jina-embeddings-v2-base-code``
(``backends/candle/src/models/jina_code.rs``). Heads are those of BERT in ``transformers``, as the hub's are.
"""

from __future__ import annotations

import functools
import math
from typing import Any

HEADS = (
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
    "ForNextSentencePrediction",
    "ForPreTraining",
    "ForMultipleChoice",
)


def slopes(heads: int) -> list[float]:
    """Return a slope for each head: 2^(-8/n), 2^(-16/n), ... for n heads, a power of two.

    For others it is those of the power of two below, and then every other slope of the power above, from the
    first on (the authors' repository, ``ofirpress/attention_with_linear_biases``).
    """
    power = 2 ** int(math.log2(heads))
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return first + [2 ** (-8 * (i + 1) / (2 * power)) for i in range(0, 2 * (heads - power), 2)]


@functools.cache
def classes() -> dict[str, Any]:
    """Return the classes by name; they are saved and loaded as those of ``transformers``."""
    import torch
    import transformers
    from torch import nn
    from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

    class JinaBertConfig(transformers.BertConfig):  # type: ignore[misc]
        position_embedding_type: str = "alibi"
        feed_forward_type: str = "geglu"
        qk_post_norm: bool = False

    def linear(rows: int, columns: int, *, bias: bool = True) -> Any:
        return nn.Linear(columns, rows, bias=bias)

    class Layer(nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            size, inner = config.hidden_size, config.intermediate_size
            self.heads = config.num_attention_heads
            self.gate = {"geglu": nn.functional.gelu, "reglu": nn.functional.relu}[config.feed_forward_type]
            parts = {name: linear(size, size) for name in ("query", "key", "value")}
            norms = [nn.LayerNorm(size, eps=config.layer_norm_eps) for _ in range(2)]
            output = nn.ModuleDict({"dense": linear(size, size), "LayerNorm": norms[0]})
            self.attention = nn.ModuleDict({"self": nn.ModuleDict(parts), "output": output})
            gated, wo = linear(2 * inner, size, bias=False), linear(size, inner)
            self.mlp = nn.ModuleDict({"gated_layers": gated, "wo": wo, "layernorm": norms[1]})

        def forward(self, x: Any, bias: Any) -> Any:
            shape = (*x.shape[:2], self.heads, -1)
            query, key, value = (
                self.attention["self"][name](x).view(shape).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(x.shape)
            output = self.attention["output"]
            x = output["LayerNorm"](output["dense"](mixed) + x)
            gate, inner = self.mlp["gated_layers"](x).chunk(2, -1)
            return self.mlp["layernorm"](self.mlp["wo"](self.gate(gate) * inner) + x)

    class NormedLayer(Layer):
        """A layer of jina-bert-v2-qk-post-norm, its tensors named as in jina-embeddings-v2-base-code."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            size = config.hidden_size

            def norm() -> Any:
                return nn.LayerNorm(size, eps=config.layer_norm_eps)

            self.attention["self"].update({"layer_norm_q": norm(), "layer_norm_k": norm()})
            self.layer_norm_1, self.layer_norm_2 = norm(), norm()
            self.mlp = nn.ModuleDict(
                {
                    "up_gated_layer": linear(2 * config.intermediate_size, size, bias=False),
                    "down_layer": linear(size, config.intermediate_size),
                }
            )

        def forward(self, x: Any, bias: Any) -> Any:
            parts, shape = self.attention["self"], (*x.shape[:2], self.heads, -1)
            query = parts["layer_norm_q"](parts["query"](x)).view(shape).transpose(1, 2)
            key = parts["layer_norm_k"](parts["key"](x)).view(shape).transpose(1, 2)
            value = parts["value"](x).view(shape).transpose(1, 2)
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(x.shape)
            output = self.attention["output"]
            x = self.layer_norm_1(output["LayerNorm"](output["dense"](mixed) + x) + x)
            inner, gate = self.mlp["up_gated_layer"](x).chunk(2, -1)
            return self.layer_norm_2(self.mlp["down_layer"](inner * self.gate(gate)) + x)

    class JinaBertModel(transformers.BertPreTrainedModel):  # type: ignore[misc]
        config_class = JinaBertConfig

        def __init__(self, config: Any, add_pooling_layer: bool = True) -> None:
            super().__init__(config)
            size = config.hidden_size
            self.embeddings = nn.ModuleDict(
                {
                    "word_embeddings": nn.Embedding(config.vocab_size, size),
                    "token_type_embeddings": nn.Embedding(config.type_vocab_size, size),
                    "LayerNorm": nn.LayerNorm(size, eps=config.layer_norm_eps),
                }
            )
            kind = NormedLayer if config.qk_post_norm else Layer
            layers = nn.ModuleList(kind(config) for _ in range(config.num_hidden_layers))
            self.encoder = nn.ModuleDict({"layer": layers})
            self.pooler = nn.ModuleDict({"dense": linear(size, size)}) if add_pooling_layer else None
            self.post_init()

        def get_input_embeddings(self) -> Any:
            return self.embeddings["word_embeddings"]

        def forward(
            self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, **_: Any
        ) -> Any:
            types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            tables = self.embeddings
            x = tables["word_embeddings"](input_ids) + tables["token_type_embeddings"](types)
            states = [tables["LayerNorm"](x)]
            places = torch.arange(input_ids.shape[1])
            falls = torch.tensor(slopes(self.config.num_attention_heads))[:, None, None]
            bias = -falls * (places[None, :] - places[:, None]).abs()
            bias = bias + (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
            for layer in self.encoder["layer"]:
                states.append(layer(states[-1], bias))
            pooled = None if self.pooler is None else torch.tanh(self.pooler["dense"](states[-1][:, 0]))
            return BaseModelOutputWithPoolingAndCrossAttentions(states[-1], pooled, tuple(states))

    def with_head(ending: str) -> Any:
        head = getattr(transformers, f"Bert{ending}")

        def make(self: Any, config: Any) -> None:
            head.__init__(self, config)
            self.bert = JinaBertModel(config, add_pooling_layer=self.bert.pooler is not None)
            self.post_init()

        return type(f"JinaBert{ending}", (head,), {"__init__": make, "config_class": JinaBertConfig})

    return {"JinaBertModel": JinaBertModel, **{f"JinaBert{each}": with_head(each) for each in HEADS[1:]}}
