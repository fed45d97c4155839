"""What a quickstart run does: its options, and the sizes that follow from them."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Variant = Literal["paper", "official"]
Transform = Literal["none", "log", "zscore"]


@dataclass
class QuickstartArguments:
    """Options of `hf-datasel quickstart`."""

    output_dir: str = field(
        default="quickstart",
        metadata={"help": "Directory for everything the run writes; a killed run continues here."},
    )
    num_rows: int = field(default=6000, metadata={"help": "Rows of the generated training corpus."})
    budget: float = field(
        default=0.12, metadata={"help": "What to keep: a share in (0, 1], or a number of examples above 1."}
    )
    num_clusters: int = field(default=24, metadata={"help": "S2L's number of clusters K; three a skill by default."})
    variant: Variant = field(
        default="paper", metadata={"help": "S2L's Algorithm 1, or what the authors' code does beyond it."}
    )
    transform: Transform = field(
        default="none", metadata={"help": "Applied to the trajectories before clustering; the paper uses none."}
    )
    corrupted: float = field(
        default=0.0, metadata={"help": "Share of the training rows, in [0, 1), whose answer is wrong."}
    )
    num_seeds: int = field(
        default=5, metadata={"help": "Repetitions of select and train; the spread in the table is over these."}
    )
    seed: int = field(default=42, metadata={"help": "Seed of the corpus, the models and the first repetition."})
    num_workers: int = field(
        default=0, metadata={"help": "Processes that train at the same time; 0 means one a core, at most 4."}
    )
    smoke: bool = field(
        default=False,
        metadata={"help": "Seconds instead of minutes: checks that all works, teaches the models little."},
    )
    overwrite: bool = field(
        default=False, metadata={"help": "Delete what an earlier quickstart wrote to output_dir, and start anew."}
    )


@dataclass(frozen=True)
class Recipe:
    """One training: optimiser steps, rows a step, peak learning rate (linear warm-up over 5% and linear decay)."""

    num_steps: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class ModelSize:
    """Shape of a tiny Llama: hidden width, layers, attention heads."""

    hidden_size: int
    num_layers: int
    num_heads: int


@dataclass(frozen=True)
class Plan:
    """All that decides the numbers of a run; two runs with equal plans and versions give equal results.

    The number of repetitions is no part of it, so that a finished run can be continued with more.
    """

    num_rows: int
    budget: int | float
    num_clusters: int
    variant: Variant
    transform: Transform
    corrupted: float
    seed: int
    num_test_rows: int = 480
    num_pretraining_rows: int = 12_000
    num_trusted_rows: int = 160
    num_checkpoints: int = 8
    num_directions: int = 80
    proxy_size: ModelSize = ModelSize(hidden_size=64, num_layers=2, num_heads=4)
    target_size: ModelSize = ModelSize(hidden_size=128, num_layers=2, num_heads=4)
    proxy_pretraining: Recipe = Recipe(num_steps=400, batch_size=64, learning_rate=3e-3)
    target_pretraining: Recipe = Recipe(num_steps=900, batch_size=64, learning_rate=3e-3)
    proxy_training: Recipe = Recipe(num_steps=800, batch_size=32, learning_rate=2e-3)
    target_training: Recipe = Recipe(num_steps=300, batch_size=32, learning_rate=2e-3)

    @classmethod
    def from_arguments(cls, args: QuickstartArguments) -> "Plan":
        """The plan that the options ask for.

        Raises:
            ValueError: the budget is neither a share nor a whole number of rows, or an option is out of range.

        Example:
            >>> plan = Plan.from_arguments(QuickstartArguments(budget=700))
            >>> plan.budget, plan.target_training.num_steps
            (700, 300)
        """
        if args.num_seeds < 1:
            raise ValueError(f"num_seeds={args.num_seeds}: at least one repetition is needed; 5 give a usable spread.")
        if args.num_workers < 0:
            raise ValueError(f"num_workers={args.num_workers}: pass 1 or more, or 0 for one a core.")
        asked = {
            "num_rows": args.num_rows,
            "budget": _whole_or_share(args.budget, args.num_rows),
            "num_clusters": args.num_clusters,
            "variant": args.variant,
            "transform": args.transform,
            "corrupted": args.corrupted,
            "seed": args.seed,
        }
        plan = cls(**{**asked, **(_SMOKE if args.smoke else {})})
        # A row that the proxy never saw has no value of its run.
        one_epoch = math.ceil(plan.num_rows / plan.proxy_training.batch_size)
        num_steps = max(plan.proxy_training.num_steps, one_epoch)
        return replace(plan, proxy_training=replace(plan.proxy_training, num_steps=num_steps))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def _whole_or_share(budget: float, num_rows: int) -> int | float:
    if 0 < budget <= 1:
        return budget
    if 1 < budget <= num_rows and float(budget).is_integer():
        return int(budget)
    raise ValueError(
        f"budget={budget} is neither a share of the rows, in (0, 1], nor a whole number from 2 to num_rows={num_rows}."
    )


_SMOKE: dict[str, Any] = {
    "num_test_rows": 80,
    "num_pretraining_rows": 600,
    "num_trusted_rows": 16,
    "num_checkpoints": 4,
    "num_directions": 2,
    "proxy_size": ModelSize(hidden_size=16, num_layers=1, num_heads=2),
    "target_size": ModelSize(hidden_size=32, num_layers=1, num_heads=2),
    "proxy_pretraining": Recipe(num_steps=10, batch_size=16, learning_rate=3e-3),
    "target_pretraining": Recipe(num_steps=10, batch_size=16, learning_rate=3e-3),
    "proxy_training": Recipe(num_steps=20, batch_size=16, learning_rate=3e-3),
    "target_training": Recipe(num_steps=10, batch_size=16, learning_rate=3e-3),
}
