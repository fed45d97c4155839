"""On generated skills: all methods on one corpus, what S2L's settings change there, and a few methods on six others.

Every method trains the same target from the same start, for as many steps. Least confidence and middle perplexity
stand for the trained proxy and for its first checkpoint ("early"); both are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from hf_datasel.compare.plan import Method
from hf_datasel.quickstart.jobs import Role, make_inputs, pretrain
from hf_datasel.quickstart.plan import ModelSize
from recipes.benchmarks.effectiveness.comparing import compare
from recipes.benchmarks.effectiveness.setting import (
    BUDGET,
    CLUSTERS,
    CORPUS_SEED,
    METHODS,
    NUM_CHECKPOINTS,
    WORLDS,
    Mode,
    Setting,
    arguments,
)

METRICS = ("exact_match", "loss")
ROLES: tuple[Role, ...] = ("proxy", "target")
Found = dict[str, Any]


def world(setting: Setting, work: Path, name: str) -> Found:
    """All methods in a world, and S2L with other K there."""
    methods = {"worlds": setting.methods(name), "clusters": list(CLUSTERS.values())}
    return {part: {name: _compare(setting, work, name, given)} for part, given in methods.items()}


def checkpoints(setting: Setting, work: Path) -> Found:
    """S2L by trajectories of other lengths, in the clean world."""
    s2l = METHODS[:1]
    found = {str(n): _compare(setting, work, "clean", s2l, num_checkpoints=n) for n in setting.checkpoints}
    return {"checkpoints": found}


def proxies(setting: Setting, work: Path) -> Found:
    """S2L by trajectories of other proxies, in the clean world."""
    s2l = METHODS[:1]
    return {"proxies": {_name(one): _compare(setting, work, "clean", s2l, proxy=one) for one in setting.proxies}}


def recording(setting: Setting, work: Path) -> Found:
    """S2L by the losses that training computes anyway, in both worlds."""
    s2l = METHODS[:1]
    return {"in_run": {world: _compare(setting, work, world, s2l, mode="in_run") for world in WORLDS}}


def corpus(setting: Setting, work: Path, seed: int) -> Found:
    """A few methods, once, on another corpus with models of its own, clean and corrupted."""
    once = Setting(1, setting.smoke, setting.data)
    return {"corpora": {str(seed): {world: _compare(once, work, world, setting.few, seed=seed) for world in WORLDS}}}


def _compare(
    setting: Setting,
    work: Path,
    world: str,
    methods: Sequence[Method],
    *,
    num_checkpoints: int = NUM_CHECKPOINTS,
    mode: Mode = "probe",
    proxy: ModelSize | None = None,
    seed: int = CORPUS_SEED,
) -> Found:
    """A comparison in a world; what an earlier one in the same folder has done is taken from there."""
    plan = setting.plan(world, proxy, seed)
    root = work / (world if proxy is None else f"{world}-{_name(proxy)}")
    if seed != CORPUS_SEED:
        root = work / f"corpus-{seed}"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".models.lock"):
        for role in ROLES:
            pretrain(plan, root, role, advance=lambda _: None)  # on text that is the same in both worlds
    folder = root / f"checkpoints-{num_checkpoints}" if seed == CORPUS_SEED else root / world
    if mode != "probe":
        folder = folder.with_name(f"{folder.name}-{mode}")
    rows = make_inputs(plan).corpus
    return compare(
        root / "models" / "target",
        arguments(plan, root / "models" / "proxy", folder, num_checkpoints, mode),
        rows.train,
        rows.test,
        methods=methods,
        budget=BUDGET,
        flag="corrupted",
        num_seeds=setting.num_seeds,
        metrics=METRICS,
        group_column="skill",
    )


def _name(size: ModelSize) -> str:
    """Width x layers."""
    return f"{size.hidden_size}x{size.num_layers}"
