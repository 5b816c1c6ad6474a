"""spaCy's component ``bertc_ner``: importing this module registers it (extra: ``spacy``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bertc.errors import InputError, MissingExtraError
from bertc.model_handle import ModelHandle

try:
    from spacy.language import Language
    from spacy.tokens import Doc
    from spacy.util import filter_spans, minibatch
except ImportError:
    raise MissingExtraError("spacy", "spacy", "bertc.spacy") from None


@Language.factory(
    "bertc_ner", assigns=["doc.ents"], default_config={"aggregation_strategy": "simple", "num_threads": None}
)
def make_ner(
    nlp: Language, name: str, model: str, aggregation_strategy: str, num_threads: int | None
) -> EntityRecognizer:
    """Return the component ``nlp.add_pipe("bertc_ner", config={"model": ...})``."""
    del nlp, name
    return EntityRecognizer(model, aggregation_strategy, num_threads)


class EntityRecognizer:
    """Sets the entities of documents by a compiled token classifier.

    An entity covers whole tokens of spaCy, also where the model's end within one.
    """

    def __init__(
        self, model: str, aggregation_strategy: str = "simple", num_threads: int | None = None
    ) -> None:
        if aggregation_strategy == "none":
            raise InputError(
                'aggregation_strategy "none" gives tokens, no entities: expected "simple" or another'
            )
        self._handle = ModelHandle(model, "token_classification", num_threads=num_threads)
        self._strategy = aggregation_strategy

    def __call__(self, doc: Doc) -> Doc:
        """Set the entities of a document; returns it. Raises what ``bertc.load`` does."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Yield documents with their entities, in order."""
        for docs in minibatch(stream, batch_size):
            texts = [doc.text for doc in docs]
            found = self._handle.model.tag(texts, aggregation_strategy=self._strategy)
            for doc, entities in zip(docs, found, strict=True):
                spans = [
                    doc.char_span(each["start"], each["end"], each["entity_group"], alignment_mode="expand")
                    for each in entities
                ]
                doc.ents = filter_spans([span for span in spans if span is not None])
                yield doc
