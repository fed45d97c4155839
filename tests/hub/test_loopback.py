"""The Hub on loopback as the real huggingface_hub, datasets and transformers clients see it when all goes well."""

from tests.hub.loopback import run_client


def test_a_new_repo_takes_a_commit_and_gives_it_back(hub, client):
    told = client(
        """
        from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
        api = HfApi()
        url = api.create_repo(repo, repo_type="dataset")
        adds = [CommitOperationAdd(path, content.encode()) for path, content in files.items()]
        done = api.create_commit(repo, adds, commit_message="first", commit_description="why", repo_type="dataset")
        info = api.dataset_info(repo, files_metadata=True)
        paths = [hf_hub_download(repo, name, repo_type="dataset", revision=done.oid) for name in files]
        commits = api.list_repo_commits(repo, repo_type="dataset")
        return {
            "url": [url.repo_id, url.repo_type],
            "oid": done.oid,
            "pull request": done.pr_url,
            "info": [info.sha, info.tags, info.private],
            "large": {one.rfilename: one.lfs.sha256 for one in info.siblings if one.lfs},
            "contents": [open(path).read() for path in paths],
            "commits": [[one.title, one.message, one.authors] for one in commits],
        }
        """,
        repo=(repo_id := hub.new_id()),
        files=(files := {"README.md": "---\ntags: [a, b]\n---\n# Hello", "data/x.bin": "x" * 5000}),
    )
    repo = hub.repo(repo_id)
    assert told == {
        "url": [repo_id, "dataset"],
        "oid": repo.head().oid,
        "pull request": None,
        "info": [repo.head().oid, ["a", "b"], False],
        "large": {"data/x.bin": repo.head().files["data/x.bin"].sha256},
        "contents": list(files.values()),
        "commits": [["first", "why", ["alice"]], ["initial commit", "", ["hub"]]],
    }
    assert repo.files()["data/x.bin"] == b"x" * 5000


def test_listings_say_what_stands_where(client, repo):
    repo.commit({"a/b/c.txt": b"1", "a/d.parquet": b"22", "e.txt": b"3"}, title="files")
    repo.commit({"a/b/c.txt": b"4"}, title="newer")
    told = client(
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError
        api, known = HfApi(), {"repo_id": repo, "repo_type": "dataset"}

        def paths(**where):
            return [one.path for one in api.list_repo_tree(**known, **where)]

        def missing(error_type, **where):
            try:
                return paths(**where)
            except error_type as error:
                return error.response.status_code

        return {
            "top": paths(),
            "folder": paths(path_in_repo="a"),
            "all": paths(recursive=True),
            "no folder": missing(EntryNotFoundError, path_in_repo="z"),
            "no revision": missing(RevisionNotFoundError, revision="z"),
            "last": [[one.path, one.last_commit.title] for one in api.list_repo_tree(**known, expand=True)],
            "infos": [type(one).__name__ for one in api.get_paths_info(paths=["a", "e.txt", "z"], **known)],
            "exists": [api.file_exists(filename=name, **known) for name in ("e.txt", "z")],
        }
        """,
        repo=repo.id,
    )
    assert told == {
        "top": [".gitattributes", "a", "e.txt"],
        "folder": ["a/b", "a/d.parquet"],
        "all": [".gitattributes", "a", "a/b", "a/b/c.txt", "a/d.parquet", "e.txt"],
        "no folder": 404,
        "no revision": 404,
        "last": [[".gitattributes", "initial commit"], ["a", "newer"], ["e.txt", "files"]],
        "infos": ["RepoFolder", "RepoFile"],
        "exists": [True, False],
    }


def test_two_configs_load_and_stream(hub, client):
    told = client(
        """
        import datasets
        rows = datasets.Dataset.from_dict({"id": list(range(2000)), "text": [str(i) * 20 for i in range(2000)]})
        rows.push_to_hub(repo, "selected", set_default=True)
        rows.select_columns("id").rename_column("id", "score").push_to_hub(repo, "scores")
        streamed = datasets.load_dataset(repo, split="train", streaming=True)
        return {
            "selected": datasets.load_dataset(repo, split="train").to_dict() == rows.to_dict(),
            "scores": datasets.load_dataset(repo, "scores", split="train").column_names,
            "configs": sorted(datasets.get_dataset_config_names(repo)),
            "streamed": [row["id"] for row in streamed.skip(3).take(2)],
            "hash": datasets.load_dataset_builder(repo).hash,
        }
        """,
        repo=(repo_id := hub.new_id()),
    )
    assert told == {
        "selected": True,
        "scores": ["score"],
        "configs": ["scores", "selected"],
        "streamed": [3, 4],
        "hash": hub.repo(repo_id).head().oid,
    }
    assert 206 in {request.status for request in hub.seen("resolve", "GET")}
    assert hub.seen("unknown") == []


def test_a_config_that_a_pull_request_adds_is_read_from_it(hub, client, repo):
    told = client(
        """
        import datasets
        done = datasets.Dataset.from_dict({"id": [1, 2]}).push_to_hub(repo, "draft", create_pr=True)
        ref = f"refs/pr/{done.pr_num}"
        rows = datasets.load_dataset(repo, "draft", revision=ref, split="train")
        streamed = datasets.load_dataset(repo, "draft", revision=ref, split="train", streaming=True)
        return [ref, rows["id"][:], [row["id"] for row in streamed]]
        """,
        repo=repo.id,
    )
    assert told == ["refs/pr/1", [1, 2], [1, 2]]
    assert repo.titles() == ["initial commit"]


def test_a_card_is_edited_in_place(client, repo):
    repo.commit({"README.md": b"---\nlicense: mit\nhf_datasel:\n  budget: 3\n---\n# Mine\n"})
    client(
        """
        from huggingface_hub import DatasetCard
        card = DatasetCard.load(repo)
        card.data.tags = ["new"]
        card.push_to_hub(repo)
        """,
        repo=repo.id,
    )
    readme = repo.files()["README.md"].decode()
    assert "budget: 3" in readme
    assert "- new" in readme
    assert readme.endswith("# Mine\n")


def test_a_model_is_pushed_and_comes_back(hub, client):
    told = client(
        """
        import torch
        from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
        sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8}
        model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=1, num_attention_heads=2))
        model.push_to_hub(repo)
        back = AutoModelForCausalLM.from_pretrained(repo)
        return [torch.equal(one, other) for one, other in zip(model.parameters(), back.parameters(), strict=True)]
        """,
        repo=(repo_id := hub.new_id("model")),
    )
    assert told == [True] * 12
    assert {"config.json", "model.safetensors"} <= hub.repo(repo_id, "model").files().keys()
    assert hub.seen("unknown") == []


def test_a_process_of_its_own_has_a_token_a_network_and_further_variables(hub):
    code = """
        import os
        from huggingface_hub import constants, whoami
        return [whoami()["name"], constants.HF_HUB_OFFLINE, os.environ["WORD"]]
    """
    assert run_client(hub, code, WORD="here") == ["alice", False, "here"]
    assert run_client(hub, code, WORD="there", HF_TOKEN=hub.tokens.stranger)[0] == "mallory"
