"""Compiled models with the classes of ``sentence_transformers``, for code that was written for that library.

>>> from bertc.sentence_transformers import SentenceTransformer     # doctest: +SKIP
>>> SentenceTransformer("minilm.bertc").encode(["a text"])          # doctest: +SKIP
"""

from bertc.sentence_transformers.cross_encoder import CrossEncoder
from bertc.sentence_transformers.embedder import SentenceTransformer

__all__ = ["CrossEncoder", "SentenceTransformer"]
