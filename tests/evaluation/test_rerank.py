from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.evaluation import rerank
from bertc.evaluation.evaluator import compare, evaluate
from bertc.evaluation.ranking_data import read_rankings
from bertc.evaluation.rerank import Rankings

DOCUMENTS = {"d1": "one", "d2": "two two", "d3": "three three three", "d4": "four four four four"}


class Lengths:
    """A cross-encoder that prefers documents of as many words as the query names."""

    def __init__(self, off: int = 0) -> None:
        self.off = off
        self.asked: list[Any] = []

    def predict(self, inputs: Any) -> Any:
        self.asked += inputs
        wanted = {"short": 1, "middle": 2, "long": 4}
        return np.array([-abs(len(b.split()) - wanted[a] - self.off) for a, b in inputs], np.float32)


class Directions:
    """An embedder: texts of n words point n times 20 degrees up, the queries where Lengths looks for them."""

    def encode(self, inputs: Any) -> Any:
        words = np.array(
            [{"short": 1, "middle": 2, "long": 4}.get(text, len(text.split())) for text in inputs]
        )
        return np.stack([np.cos(words * np.pi / 9), np.sin(words * np.pi / 9)], axis=1)


def write_folder(tmp_path: Path, qrels: str, **more: str) -> Path:
    queries = {"q1": "short", "q2": "middle", "q3": "long"}
    files = {
        "queries.jsonl": "".join(json.dumps({"_id": a, "text": b}) + "\n" for a, b in queries.items()),
        "corpus.tsv": "".join(f"{name}\t{text}\n" for name, text in DOCUMENTS.items()),
        "qrels.txt": qrels,
        **{name.replace("_", "."): text for name, text in more.items()},
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("engine", [Lengths(), Directions()])
def test_every_document_is_ranked_for_every_query(tmp_path: Path, engine: Any) -> None:
    # The rankings are d1 d2 d3 d4, d2 d3 d1 d4 (of equal scores the later id comes first), d4 d3 d2 d1.
    data = write_folder(tmp_path, "q1 0 d2 1\nq1 0 d4 2\nq2 0 d2 1\nq3 0 d4 0\nq3 0 d2 1\n")
    result = rerank.evaluate(engine, data)
    ideal = 2 + 1 / np.log2(3)
    ndcg = [(1 / np.log2(3) + 2 / np.log2(5)) / ideal, 1, 1 / np.log2(4)]
    assert result.metrics == {
        "map": pytest.approx(100 * ((1 / 2 + 2 / 4) / 2 + 1 + 1 / 3) / 3),
        "mrr@10": pytest.approx(100 * (1 / 2 + 1 + 1 / 3) / 3),
        "ndcg@10": pytest.approx(100 * np.mean(ndcg)),
    }
    assert result.counts == {"samples": 3, "documents": 4, "ranked": 12, "relevant": 4}


def test_a_run_names_the_candidates(tmp_path: Path) -> None:
    run = "q1 Q0 d4 1 9.5 bm25\nq1 Q0 d3 2 9 bm25\nq2 Q0 d1 1 7 bm25\n"
    data = write_folder(tmp_path, "q1 0 d3 1\nq1 0 d1 1\nq2 0 d2 1\n", run_trec=run)
    engine = Lengths()
    result = rerank.evaluate(engine, data)
    assert engine.asked == [
        ("short", DOCUMENTS["d4"]),
        ("short", DOCUMENTS["d3"]),
        ("middle", DOCUMENTS["d1"]),
    ]
    # d1 is not ranked for q1: it is never found, and neither is d2 for q2.
    assert result.metrics["map"] == pytest.approx(100 * (1 / 2 + 0) / 2)
    (data / "run.trec").rename(data / "other")
    again = evaluate(Rankings(run_file=data / "other"), Lengths(), data)
    assert again.metrics == result.metrics


def test_the_first_stage_chooses_what_is_ranked(tmp_path: Path) -> None:
    data = write_folder(tmp_path, "q1 0 d1 1\nq3 0 d1 1\n")
    engine = Lengths()
    evaluator = Rankings(depth=1, first_stage=Directions(), top_k=2)
    result = evaluate(evaluator, engine, data)
    assert [b for a, b in engine.asked if a == "long"] == [DOCUMENTS["d4"], DOCUMENTS["d3"]]
    assert result.metrics["map"] == 50 and set(result.metrics) == {"map", "mrr@1", "ndcg@1"}
    assert result.counts["ranked"] == 4 and result.facts == {"first stage": "the best 2"}


def test_engines_disagree_where_the_first_document_differs(tmp_path: Path) -> None:
    data = write_folder(tmp_path, "q1 0 d1 1\nq2 0 d2 1\nq3 0 d4 1\n")
    _, comparison = compare(Rankings(), Lengths(off=1), Lengths(), data)
    assert (comparison.disagreements, comparison.better, comparison.worse) == (2, 0, 2)
    assert comparison.worst[0] == ("q1", "short", "d1: one", "d2: two two", "d1: one")


@pytest.mark.parametrize("ids", [True, False])
def test_rows_of_queries_and_documents(tmp_path: Path, ids: bool) -> None:
    rows = [
        ("q1", "short", "d1", 1),
        ("q1", "short", "d3", 0),
        ("q2", "long", "d1", 0),
        ("q2", "long", "d4", 2),
    ]
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for name, query, document, label in rows:
            names = {"query_id": name, "document_id": document} if ids else {}
            file.write(
                json.dumps({"query": query, "document": DOCUMENTS[document], "label": label, **names}) + "\n"
            )
    first, second = read_rankings(path)
    assert (first.id, first.text) == (("q1" if ids else "short"), "short")
    assert first.candidates == (("d1", "d3") if ids else ("line 1", "line 2"))
    assert second.candidates == (("d1", "d4") if ids else ("line 1", "line 4"))
    assert second.gains == {"d4" if ids else "line 4": 2}
    assert rerank.evaluate(Lengths(), path).metrics["map"] == 100
    with pytest.raises(InputError, match="a run is for a folder"):
        read_rankings(path, path)


def test_tables_of_beir(tmp_path: Path) -> None:
    data = write_folder(tmp_path, "")
    (data / "qrels.txt").unlink()
    (data / "qrels").mkdir()
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t1\n")
    (data / "corpus.tsv").unlink()
    corpus = {"_id": "d2", "title": "A title", "text": "two"}
    (data / "corpus.jsonl").write_text(json.dumps(corpus))
    (query,) = read_rankings(data)
    assert (query.id, query.candidates, query.gains) == ("q2", None, {"d2": 1})
    assert query.corpus == {"d2": "A title two"}


@pytest.mark.parametrize(
    ("qrels", "more", "message"),
    [
        ("q1 0 d9 1\n", {}, "qrels.txt, line 1: no document has the id 'd9'"),
        ("q1 0 d1 1\nq9 0 d1 1\n", {}, "qrels.txt, line 2: no query has the id 'q9'"),
        ("q1 0 d1 yes\n", {}, "qrels.txt, line 1, column 4: the relevance is 'yes', expected a number"),
        ("q1 d1\n", {}, "qrels.txt, line 1: 2 columns"),
        ("q1 0 d1 0\n", {}, "no query has a relevant document"),
        ("q1 0 d1 1\n", {"corpus_tsv": "d1\tone\nd1\ttwo\n"}, "corpus.tsv, line 2: the id 'd1' is that of"),
        ("q1 0 d1 1\n", {"corpus_tsv": "d1 one\n"}, "corpus.tsv, line 1: no tab"),
        ("q1 0 d1 1\n", {"corpus_tsv": ""}, "corpus.tsv: no texts"),
        ("q1 0 d1 1\n", {"corpus_csv": "id,text\n"}, r"more than one file corpus\.\*"),
        ("q1 0 d1 1\n", {"run_txt": "q1 Q0 d1 1 2\n"}, "run.txt, line 1: 5 columns"),
        ("q1 0 d1 1\n", {"run_txt": "q1 Q0 d8 1 2 x\n"}, "run.txt, line 1: no document has the id 'd8'"),
        ("q1 0 d1 1\n", {"run_txt": "q2 Q0 d1 1 2 x\n"}, "no documents for the query 'q1'"),
        ("q1 0 d1 1\n", {"run_txt": "q1 Q0 d1 1 2 x\n" * 2}, "run.txt, line 2: .* 'd1' is there twice"),
    ],
)
def test_bad_folders_are_named(tmp_path: Path, qrels: str, more: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rankings(write_folder(tmp_path, qrels, **more))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a\tb\tmany"], "line 2, column label: the relevance is 'many'"),
        (["a\tb"], "line 2: 2 columns, expected at least 3"),
        (["a\tb\t1", "a\tb\t0"], "line 3: the document 'line 2' is there twice for the query 'a'"),
        ([], "no rows"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("\n".join(["query\tdocument\tlabel", *lines]))
    with pytest.raises(InputError, match=message):
        read_rankings(path)


def test_two_texts_with_one_id_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    header = "query_id\tquery\tdocument_id\tdocument\tlabel\n"
    for second, what in (("1\tb\t2\ty\t1", "query"), ("2\tb\t1\ty\t1", "document")):
        path.write_text(f"{header}1\ta\t1\tx\t1\n{second}\n")
        with pytest.raises(InputError, match=f"line 3: another {what} has the id '1' too"):
            read_rankings(path)


def test_an_engine_that_cannot_rank_is_refused(tmp_path: Path) -> None:
    class Labels:
        def predict(self, inputs: Any) -> Any:
            return np.zeros((len(inputs), 3))

    data = write_folder(tmp_path, "q1 0 d1 1\n")
    with pytest.raises(InputError, match="gives a pair 3 scores"):
        rerank.evaluate(Labels(), data)
    with pytest.raises(InputError, match="cannot rank"):
        rerank.evaluate(object(), data)


def test_questions_rank_the_paragraphs_of_squad(tmp_path: Path) -> None:
    asked = [("the cat", ["cat"]), ("a dog", ["dog"])]
    paragraphs = [
        {
            "context": context,
            "qas": [
                {"id": context[-3:], "question": context, "answers": [{"text": each} for each in answers]}
            ],
        }
        for context, answers in [*asked, ("no sea", [])]
    ]
    data = tmp_path / "dev.json"
    data.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    queries = read_rankings(data)
    assert [(query.id, query.text, query.candidates) for query in queries] == [
        ("cat", "the cat", None),
        ("dog", "a dog", None),
    ]
    assert [dict(query.gains) for query in queries] == [{"paragraph 000001": 1.0}, {"paragraph 000002": 1.0}]
    assert list(queries[0].corpus.values()) == ["the cat", "a dog", "no sea"]
