from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from bertc.artifact import schema
from bertc.errors import ArtifactError
from bertc.tasks import registry
from tests.support.fake_session import TableSession, make_info, make_model


def test_every_task_of_the_file_format_has_a_class() -> None:
    assert set(registry.TASKS) == set(get_args(schema.Task))


@pytest.mark.parametrize("name", registry.TASKS)
def test_created_by_name(name: str) -> None:
    model = make_model(TableSession(np.zeros((300, 1)), "logits"), make_info(name))
    assert registry.create(model).name == name


def test_unknown_task_is_an_artifact_error() -> None:
    model = make_model(TableSession(np.zeros((300, 1)), "logits"), make_info("translation"))
    with pytest.raises(ArtifactError, match="translation"):
        registry.create(model)
