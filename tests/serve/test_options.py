"""The options of ``bertc serve``, by the names that text-embeddings-inference has for them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')

from bertc.cli.main import app
from bertc.errors import InputError
from bertc.serve.settings import ModelSource, Settings

FLAGS = {
    "--max-concurrent-requests": ("MAX_CONCURRENT_REQUESTS", "7", "max_concurrent_requests", 7),
    "--max-batch-tokens": ("MAX_BATCH_TOKENS", "77", "max_batch_tokens", 77),
    "--max-client-batch-size": ("MAX_CLIENT_BATCH_SIZE", "5", "max_client_batch_size", 5),
    "--tokenization-workers": ("TOKENIZATION_WORKERS", "3", "tokenization_workers", 3),
    "--port": ("PORT", "8080", "port", 8080),
    "--payload-limit": ("PAYLOAD_LIMIT", "1000", "payload_limit", 1000),
    "--api-key": ("API_KEY", "k", "api_key", "k"),
    "--cors-allow-origin": ("CORS_ALLOW_ORIGIN", "http://a", "cors_allow_origin", ("http://a",)),
    "--prometheus-port": ("PROMETHEUS_PORT", "9001", "prometheus_port", 9001),
}
SWITCHES = {
    "--auto-truncate": ("AUTO_TRUNCATE", "auto_truncate"),
    "--json-output": ("JSON_OUTPUT", "json_output"),
}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``start(arguments, environment)``: the settings that a server would be started with."""
    found: list[Settings] = []

    def serve(settings: Settings) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr("bertc.serve.server.serve", serve)

    def run(arguments: list[str], environment: dict[str, str] | None = None) -> Settings:
        result = CliRunner().invoke(app, ["serve", *arguments], env=environment or {}, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return found[-1]

    return run


@pytest.mark.parametrize("flag", FLAGS)
def test_flags_and_their_variables(start: Any, flag: str) -> None:
    variable, text, name, value = FLAGS[flag]
    assert getattr(start(["m.bertc", flag, text]), name) == value
    assert getattr(start(["m.bertc"], {variable: text}), name) == value


@pytest.mark.parametrize("flag", SWITCHES)
def test_switches_and_their_variables(start: Any, flag: str) -> None:
    variable, name = SWITCHES[flag]
    assert not getattr(start(["m.bertc"]), name)
    assert getattr(start(["m.bertc", flag]), name)
    assert getattr(start(["m.bertc"], {variable: "true"}), name)


def test_the_server_listens_to_this_machine_alone_unless_told(start: Any) -> None:
    assert start(["m.bertc"], {"HOSTNAME": "4f3a2b1c"}).host == "127.0.0.1"
    assert start(["m.bertc", "--hostname", "0.0.0.0"]).host == "0.0.0.0"


def test_models_and_their_names(start: Any) -> None:
    settings = start(["a/b/embedder.bertc", "tags=tagger.bertc", "--model-id", "org/name"])
    assert settings.models == (
        ModelSource("name", "org/name"),
        ModelSource("embedder", "a/b/embedder.bertc"),
        ModelSource("tags", "tagger.bertc"),
    )
    named = start([], {"MODEL_ID": "m.bertc", "SERVED_MODEL_NAME": "mine"})
    assert named.models == (ModelSource("mine", "m.bertc"),)


def test_an_endpoint_for_traces_is_refused(start: Any) -> None:
    for arguments, environment in ((["--otlp-endpoint", "x"], {}), ([], {"OTLP_ENDPOINT": "x"})):
        with pytest.raises(InputError, match="sends no traces"):
            start(["m.bertc", *arguments], environment)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ()}, "no model"),
        ({"models": (ModelSource("a", "x"), ModelSource("a", "y"))}, "name of its own"),
        ({"max_batch_tokens": 0}, "max_batch_tokens is 0"),
        ({"max_queue_tokens": 5}, "not even one batch"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**{"models": (ModelSource("m", "m.bertc"),), **options})


def test_the_container_and_the_unit_start_what_the_command_line_knows(start: Any) -> None:
    deploy = Path(__file__).parents[2] / "deploy"
    container = (deploy / "Containerfile").read_text("utf-8")
    unit = (deploy / "bertc.service").read_text("utf-8")
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", container, re.MULTILINE)[0])
    variables = dict(each.split("=", 1) for each in re.findall(r"[A-Z_]+=\S+", container))
    assert entry[:2] == ["bertc", "serve"]
    settings = start([*entry[2:], "/models/embedder.bertc"], variables)
    assert (settings.host, settings.port, settings.json_output) == ("0.0.0.0", 3000, True)
    assert f":{settings.port}/health" in container  # what looks whether it is well

    program, *arguments = shlex.split(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0])
    assert (Path(program).name, arguments[0]) == ("bertc", "serve")
    settings = start(arguments[1:])
    assert settings.models == (ModelSource("model", "/srv/bertc/model.bertc"),)
    assert settings.json_output
