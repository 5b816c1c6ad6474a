"""The bodies of requests. From these types they are read, and the OpenAPI file is made.

Fields that nobody reads are let through: clients send what other servers know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from bertc.serve.errors import RequestError

Direction = Annotated[
    Literal["Left", "Right", "left", "right"] | None,
    Meta(description="The side on which texts are cut; without it the tokenizer's, nearly always Right."),
]
Inputs = str | list[str | int | list[int]]
"""One text or several; or the ids of one, or of several."""
Texts = str | list[str]

Truncate = Annotated[bool | None, Meta(description="Cut what is too long; without it --auto-truncate says.")]
ModelName = Annotated[str | None, Meta(description="One of /v1/models; else the first that can do it.")]


class EmbedRequest(Struct):
    """Texts to embed."""

    inputs: Inputs
    truncate: Truncate = None
    truncation_direction: Direction = None
    prompt_name: str | None = None
    normalize: bool = True
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    model: ModelName = None


class TokenEmbedRequest(Struct):
    """Texts whose tokens are embedded."""

    inputs: Inputs
    truncate: Truncate = None
    truncation_direction: Direction = None
    prompt_name: str | None = None
    model: ModelName = None


class OpenAIEmbeddingRequest(Struct):
    """Texts to embed, as clients of OpenAI say it."""

    input: Inputs
    model: ModelName = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class PredictRequest(Struct):
    """A text, a pair of texts, or a list of lists of one or two texts, to classify."""

    inputs: str | list[str | list[str]]
    truncate: Truncate = None
    truncation_direction: Direction = None
    raw_scores: bool = False
    model: ModelName = None


class Document(Struct):
    """A document that is an object."""

    text: str


class RerankRequest(Struct):
    """A query, and ``texts`` (as text-embeddings-inference has it) or ``documents`` (Jina, Cohere, vLLM)."""

    query: str
    texts: list[str] | None = None
    documents: list[str | Document] | None = None
    truncate: Truncate = None
    truncation_direction: Direction = None
    raw_scores: bool = False
    return_text: bool = False
    return_documents: bool = False
    top_n: Annotated[int, Meta(ge=1)] | None = None
    model: ModelName = None


class SimilarityInputs(Struct):
    """A sentence and others to compare it with."""

    source_sentence: str
    sentences: list[str]


class SimilarityParameters(Struct):
    """How texts are cut, and their prompt."""

    truncate: Truncate = None
    truncation_direction: Direction = None
    prompt_name: str | None = None


class SimilarityRequest(Struct):
    """A sentence and others to compare it with."""

    inputs: SimilarityInputs
    parameters: SimilarityParameters | None = None
    model: ModelName = None


class SimilarityMatrixRequest(Struct):
    """Texts to compare with each other, or with ``others``."""

    inputs: list[str]
    others: list[str] | None = None
    truncate: Truncate = None
    truncation_direction: Direction = None
    prompt_name: str | None = None
    model: ModelName = None


class TokenizeRequest(Struct):
    """Texts to tokenize."""

    inputs: Texts
    add_special_tokens: bool = True
    prompt_name: str | None = None
    model: ModelName = None


class DecodeRequest(Struct):
    """The ids of a text, or of several."""

    ids: list[int | list[int]]
    skip_special_tokens: bool = True
    model: ModelName = None


class ClassifyRequest(Struct):
    """Texts to label; with ``candidate_labels`` by a model of natural language inference."""

    inputs: Texts
    truncate: Truncate = None
    truncation_direction: Direction = None
    top_k: Annotated[int, Meta(ge=1)] | None = 1
    function_to_apply: Literal["none", "sigmoid", "softmax"] | None = None
    candidate_labels: list[str] | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False
    model: ModelName = None


class TagRequest(Struct):
    """Texts, or lists of words, whose entities are wanted."""

    inputs: str | list[str | list[str]]
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: list[str] = field(default_factory=lambda: ["O"])
    stride: Annotated[int, Meta(ge=0)] | None = None
    model: ModelName = None


class AnswerRequest(Struct):
    """A question or several, and the text or texts that have the answers."""

    question: Texts
    context: Texts
    top_k: Annotated[int, Meta(ge=1, le=1000)] = 1
    max_answer_len: Annotated[int, Meta(ge=1)] = 15
    handle_impossible_answer: bool = False
    model: ModelName = None


class FillMaskRequest(Struct):
    """Texts with masks."""

    inputs: Texts
    truncate: Truncate = None
    truncation_direction: Direction = None
    top_k: Annotated[int, Meta(ge=1)] = 5
    model: ModelName = None


def texts_or_ids(inputs: Any, name: str) -> tuple[list[Any], bool, bool]:
    """Return items, whether they are a batch, and whether they are ids. Raises ``RequestError`` for a mix."""
    if isinstance(inputs, str):
        return [inputs], False, False
    kinds = set(map(type, inputs))
    if kinds == {int}:
        return [inputs], False, True
    if len(kinds) > 1:
        raise RequestError("Unprocessable", f"`{name}` mixes texts and ids: send lists of one kind")
    return inputs, True, kinds == {list}
