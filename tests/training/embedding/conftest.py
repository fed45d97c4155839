"""One encoder for all tests of embedders."""

from pathlib import Path

import pytest

from tests.training.embedding.encoders import save_encoder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "model")
