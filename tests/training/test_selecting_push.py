"""SelectingSFTConfig(push_to_hub=True): model and curated dataset arrive on a Hub, with cards that are right."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard

from tests.conftest import TinyFiles
from tests.hub.loopback import ClientError, ClientProcess, LoopbackHub
from tests.training import pushing
from tests.training.selecting import selecting

PUSH = "from tests.training.pushing import push; return push(repo, **options)"
LOADED = "from tests.training.pushing import loaded; return loaded(repo)"


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def client(hub: LoopbackHub) -> Iterator[ClientProcess]:
    with ClientProcess(hub) as process:
        yield process


def model_card(hub: LoopbackHub, repo: str, revision: str = "main") -> ModelCard:
    return ModelCard(hub.repo(repo, "model").files(revision)["README.md"].decode())


def test_model_and_dataset_arrive(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.new_id("model")
    told: Any = client(PUSH, repo=repo, options={"times": 2, "push_to_hub": True, "selection_method": "s2l"})
    model, curated = hub.repo(repo, "model"), hub.repo(f"{repo}-selected")
    assert client(LOADED, repo=f"{repo}-selected") == {
        "ids": told["ids"],
        "as_in_source": True,
        "kept": told["ids"],
        "num_scores": 24,
    }
    assert "_selection_stage" in told["files"]
    assert not [name for name in model.files() if "_selection_stage" in name]
    assert {"README.md", "model.safetensors", "selection/kept.npy"} <= model.files().keys()
    assert {"assets/trajectory_clusters.png", "selection/recipe.yaml"} <= curated.files().keys()
    card = model_card(hub, repo)
    assert card.data.datasets == [curated.id]
    assert card.data.base_model is None
    assert f"[{curated.id}](https://huggingface.co/datasets/{curated.id})" in card.text
    assert "built from a configuration" in card.text
    assert DatasetCard(curated.files()["README.md"].decode()).data["hf_datasel"]["method"] == "s2l"
    # the second push had nothing new to say
    assert curated.titles() == ["Publish 12 of 24 rows, selected by s2l", "initial commit"]
    assert model.titles() == ["push 0", "initial commit"]


def test_secrets_stay_here(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.new_id("model")
    # the token of the arguments is the right one, that of the environment is nobody's
    options = {"hub_token": hub.tokens.write, "proxy_model_init_kwargs": {"token": pushing.SECRET}}
    client(PUSH, login=hub.tokens.unknown, repo=repo, options=options)
    files = {**hub.repo(repo, "model").files(), **hub.repo(f"{repo}-selected").files()}
    with zipfile.ZipFile(io.BytesIO(files["training_args.bin"])) as saved:
        unpacked = [saved.read(name) for name in saved.namelist()]
    for content in [*files.values(), *unpacked]:
        assert hub.tokens.write.encode() not in content
        assert pushing.SECRET.encode() not in content


def test_where_it_goes_can_be_told(hub: LoopbackHub, client: ClientProcess) -> None:
    repo, curated = hub.new_id("model"), hub.new_id("set")
    hub.create(repo, "model", private=True)
    client("from huggingface_hub import HfApi; HfApi().create_branch(repo, branch='v2')", repo=repo)
    options = {
        "selection_hub_dataset_id": curated.split("/")[1],  # the token owner's
        "hub_private_repo": True,
        "hub_revision": "v2",
        "selection_strata_column": "source",
        "base": "warm",
        "lora": True,
    }
    client(PUSH, repo=repo, options=options)
    assert hub.repo(repo, "model").private
    assert hub.repo(curated).private
    assert "adapter_model.safetensors" in hub.repo(repo, "model").files("v2")
    assert "README.md" not in hub.repo(repo, "model").files()
    assert "data/selected-00000-of-00001.parquet" in hub.repo(curated).files("v2")
    assert "| `even` |" in hub.repo(curated).files("v2")["README.md"].decode()
    card = model_card(hub, repo, "v2")
    assert card.data.library_name == "peft"
    assert card.data.base_model is None
    assert card.data.datasets == [curated]
    assert "`warm`, a local checkpoint that is not on the Hub" in card.text


def test_the_model_alone(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.new_id("model")
    client(PUSH, repo=repo, options={"selection_push_dataset": False})
    assert "model.safetensors" in hub.repo(repo, "model").files()
    assert model_card(hub, repo).data.datasets is None
    with pytest.raises(KeyError):
        hub.repo(f"{repo}-selected")


def test_a_dataset_that_is_refused_does_not_hold_back_the_model(hub: LoopbackHub, client: ClientProcess) -> None:
    repo = hub.new_id("model")
    hub.create(f"{repo}-selected").commit({"theirs.csv": b"a,b\n"})
    with pytest.raises(ClientError, match="holds other content") as refused:
        client(PUSH, repo=repo, options={})
    assert refused.value.type == "FileExistsError"
    assert "model.safetensors" in hub.repo(repo, "model").files()
    assert model_card(hub, repo).data.datasets is None
    assert "theirs.csv" in hub.repo(f"{repo}-selected").files()


def test_the_command_line_pushes(
    hub: LoopbackHub, client: ClientProcess, tiny_files: TinyFiles, tmp_path: Path
) -> None:
    repo = hub.new_id("model")
    line = (
        f"train --dataset {tiny_files.data} --model_name_or_path {tiny_files.model} --output_dir {tmp_path / 'out'} "
        f"--selection_method random --use_cpu --bf16 false --max_steps 2 --report_to none --save_strategy no "
        f"--push_to_hub --hub_model_id {repo}"
    )
    assert client("from hf_datasel.cli import main; return main(words)", words=line.split()) == 0
    assert hub.repo(repo, "model").titles() == ["End of training", "initial commit"]
    assert "data/selected-00000-of-00001.parquet" in hub.repo(f"{repo}-selected").files()


def test_what_cannot_be_published_is_refused_before_training(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "w1 ", "completion": "w2 "}\n' * 8)
    stream = load_dataset("json", data_files=str(rows), split="train", streaming=True, cache_dir=str(tmp_path / "c"))
    options: dict[str, Any] = {"push_to_hub": True, "max_steps": 2}
    with pytest.raises(ValueError, match=r"stream does not allow.*selection_push_dataset=False"):
        selecting(tmp_path / "stream", stream, **options)
    with pytest.raises(ValueError, match="is no name for a repo"):
        selecting(tmp_path / "name", **options, selection_hub_dataset_id="me/a b")
    with pytest.raises(ValueError, match="is no name for a repo"):
        selecting(tmp_path / "long", **options, hub_model_id=f"me/{'x' * 90}")
