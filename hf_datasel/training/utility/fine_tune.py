"""The utility v(S) of SHED: the metric of a model that was fine-tuned on the coalition S and on nothing else.

He et al., "SHED: Shapley-based automated dataset refinement", NeurIPS 2024, arXiv 2405.00705: v(S) is the performance
on a dev set of a model that was fine-tuned on S. We measure v of the empty coalition as well, where the released code
takes it for 0, and by default take a metric with little noise, the log-probability of the dev answers.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from accelerate import PartialState
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import create_model_from_path

from hf_datasel.data import strata
from hf_datasel.example_ids import check_ids, require_one_table
from hf_datasel.functional.valuation import Game
from hf_datasel.ledger import Ledger
from hf_datasel.training.lending import lend_or_copy
from hf_datasel.training.refusals import refuse_unsweepable
from hf_datasel.training.side_training import free_memory, quiet_args, side_trainer
from hf_datasel.training.utility.at_once import choose_at_once, measure_at_once
from hf_datasel.training.utility.coalition_queue import CoalitionQueue
from hf_datasel.training.utility.coalition_rows import Ids, prepare_rows
from hf_datasel.training.utility.coalition_training import CoalitionTraining, naming
from hf_datasel.training.utility.evaluation import Evaluation, Record
from hf_datasel.training.utility.experiment import experiment_key
from hf_datasel.training.utility.given_metrics import MetricFunction, make_metric
from hf_datasel.training.utility.metrics import Metric
from hf_datasel.training.utility.objective import Groups, Objective

MetricName = Literal["log_likelihood", "loss", "exact_match"]


class FineTuneUtility:
    """v(S): fine-tune a model on the examples S, always from the same start, and measure it on a dev set.

    A value is measured once. It goes into a ledger in ``ledger_dir`` before the next coalition is begun, so a run that
    was killed goes on where it stopped when it is made again with the same arguments, and several runs may share the
    folder. Under ``accelerate launch`` the processes share the coalitions: each trains its own by itself, without DDP,
    and all return the same values.

    The model is left as it was: an adapter is trained beside its weights, which are held in memory once, and where the
    weights themselves are trained, on a copy. Global generators are neither read nor moved.

    Args:
        model: name, path or object. An object stays as it was.
        args: of every training. ``args.seed`` draws the adapter and orders the rows, which come in the order of their
            ids. Nothing is saved, reported, evaluated or pushed. Processes wait for each other's trainings, but not
            longer than ``args.ddp_timeout``.
        train_dataset: with example ids, in a format of TRL's; coalitions are made of its rows.
        validation_dataset: trusted rows in the same format, none of them in ``train_dataset``; the more, the less
            noise.
        ledger_dir: folder of the ledger, shared by all processes.
        processing_class: tokenizer; the model's own by default.
        peft_config: adapter to train; None to train all weights.
        metric: "log_likelihood", the mean over dev rows of the mean log-probability of a label token; "loss", minus
            the mean loss of all label tokens; "exact_match", the share of rows that greedy decoding answers exactly;
            a name or path for ``evaluate.load``, on generated answers (``EvaluateMetric`` has its options); or a
            function ``(model, rows)`` of the model and the tokenised dev rows, which returns a number or one for each
            row (``FunctionMetric``). High is good in all of them.
        groups: a column of ``validation_dataset``: the metric is taken in each group by itself.
        objective: what becomes of the groups' metrics: their "mean", "worst_group", or a mean by a weight for each.
        formatting_func: as in SFTTrainer.
        coalitions_at_once: adapters that a process trains together on one frozen model; the values are those of one
            by one but for roundings. "auto" for as many as ``memory_budget`` holds, and one by one where something in
            model or ``args`` does not allow more (a warning says what).
        memory_budget: bytes beyond the model's weights, for "auto"; by default nine tenths of what is free on a GPU,
            and 4 GiB on a CPU.
        tokens_per_batch: padded tokens of a batch of dev rows.
        progress: show a bar in a terminal.

    Attributes:
        metric: the metric.
        ledger: of the values.

    Raises:
        TypeError: something of another kind than stated.
        ValueError: bad ids, a dev row without a label or among the training rows, a metric, groups or an objective
            that do not fit, a parallelism that splits a model, or a ledger of another experiment (what differs is
            named).

    Example::

        utility = FineTuneUtility(
            "Qwen/Qwen3-0.6B", args=SFTConfig(num_train_epochs=1), peft_config=LoraConfig(r=8),
            train_dataset=add_example_ids(train), validation_dataset=dev, ledger_dir="ledger",
        )
        v = utility.game([4, 17, 99])
        v(np.array([[False, False, False], [True, False, True]]))   # of nothing, and of examples 4 and 99

    A metric of one's own, here the share of an answer's tokens to which the model gives more than a half::

        def confident(model, rows):
            shares = []
            for row in rows:
                tokens = torch.tensor([row["input_ids"]], device=model.device)
                labels = torch.tensor([row["labels"]], device=model.device)
                log_probs, mask = label_log_probs(model(tokens).logits, labels)
                shares.append(float((log_probs[mask] > math.log(0.5)).float().mean()))
            return shares

        FineTuneUtility(..., metric=confident, groups="language", objective="worst_group")
    """

    def __init__(
        self,
        model: str | PreTrainedModel | PeftModel,
        *,
        args: SFTConfig,
        train_dataset: Dataset,
        validation_dataset: Dataset,
        ledger_dir: str | os.PathLike[str],
        processing_class: PreTrainedTokenizerBase | None = None,
        peft_config: PeftConfig | None = None,
        metric: MetricName | str | MetricFunction | Metric = "log_likelihood",
        groups: str | None = None,
        objective: Objective = "mean",
        formatting_func: Callable[..., Any] | None = None,
        coalitions_at_once: int | Literal["auto"] = 1,
        memory_budget: int | None = None,
        tokens_per_batch: int = 8192,
        progress: bool = True,
    ) -> None:
        _check(train_dataset, validation_dataset, groups, args, coalitions_at_once)
        self.metric = make_metric(metric, tokens_per_batch)
        loaded = load_model(model, args) if isinstance(model, str) else model
        peft_config = copy.deepcopy(peft_config)

        def make() -> SFTTrainer:
            return SFTTrainer(
                model=lend_or_copy(loaded, peft_config),
                args=quiet_args(args, dataset_kwargs={"skip_prepare_dataset": True}),  # rows come below
                train_dataset=train_dataset.select([0]),
                processing_class=copy.deepcopy(processing_class),
                peft_config=copy.deepcopy(peft_config),
                formatting_func=formatting_func,
            )

        with side_trainer(make, args.device) as trainer:
            refuse_unsweepable(trainer, "Coalitions cannot be trained here")
            rows, dev = prepare_rows(trainer, train_dataset, validation_dataset)
            tokenizer = trainer.processing_class
        del trainer
        free_memory()
        labels = None if groups is None else list(strata(dev, groups).labels)
        self._evaluation = Evaluation(self.metric, dev, Groups(labels, groups, objective))
        self._training = CoalitionTraining(loaded, tokenizer, args, peft_config, rows)
        key = experiment_key(loaded, args, peft_config, rows, self._evaluation)
        self.ledger = Ledger.open(ledger_dir, key)
        self._queue = CoalitionQueue(self.ledger, self._measure, shown=progress)
        self._at_once, self._memory_budget = coalitions_at_once, memory_budget
        self._tokens_per_batch = tokens_per_batch

    @property
    def key(self) -> str:
        """Identity of the experiment: equal for equal models, data, arguments, metrics and seeds."""
        return self.ledger.digest

    @property
    def learnable_ids(self) -> NDArray[np.int64]:
        """Ids of the rows that can be players, int64 ``[n]`` ascending: those with a label to learn."""
        return self._training.rows.learnable_ids

    def game(self, ids: ArrayLike) -> Game:
        """The game whose players are examples.

        Args:
            ids: int64 ``[n]``, of ``train_dataset``, each once.

        Returns:
            A function of coalitions, bool ``[m, n]``, that returns their values, float64 ``[m]``. It trains what is
            not in the ledger, a coalition that is asked for twice only once. It raises RuntimeError where one could
            not be measured (which, and why: out of memory, a loss that is not finite, ...); nothing is ever scored by
            default, and the values measured until then are kept.

        Raises:
            ValueError: an id that is not in ``train_dataset``, is there twice, or whose row has no label to learn.
        """
        players = check_ids(ids, "FineTuneUtility.game")
        self._training.rows.require(players)
        at_once = choose_at_once(self._training, players, self._at_once, self._memory_budget)

        def values(coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
            masks = np.asarray(coalitions)
            if masks.dtype != np.bool_ or masks.ndim != 2 or masks.shape[1] != len(players):
                raise ValueError(
                    f"Coalitions must be bool[m, {len(players)}], a column for each player, not "
                    f"{masks.dtype}{list(masks.shape)}."
                )
            return self._queue.values([players[mask] for mask in masks], at_once)

        return values

    def _measure(self, coalitions: Sequence[Ids]) -> Iterator[Record]:
        if len(coalitions) > 1:
            yield from measure_at_once(self._training, self._evaluation, coalitions, self._tokens_per_batch)
            return
        for ids in coalitions:
            with naming(ids), self._training.trained(ids) as trainer:
                record = self._evaluation.of_trainer(trainer)
            yield record


def load_model(name: str, args: SFTConfig) -> PreTrainedModel:
    """The model of that name or path on this process's device, loaded as an SFTTrainer with these arguments would."""
    options = {"trust_remote_code": args.trust_remote_code, **(args.model_init_kwargs or {})}
    if PartialState().num_processes == 1:
        return create_model_from_path(name, **options)
    # By itself it would spread every process's model over all devices.
    return create_model_from_path(name, **{**options, "device_map": None}).to(args.device)


def _check(train: Any, dev: Any, groups: str | None, args: SFTConfig, coalitions_at_once: Any) -> None:
    """Refuse what could not be measured, before anything is loaded."""
    for name, dataset in (("train_dataset", train), ("validation_dataset", dev)):
        require_one_table(dataset, f"FineTuneUtility({name}=...)")
        if not isinstance(dataset, Dataset):
            raise TypeError(f"{name} must be a datasets.Dataset, not {type(dataset).__name__}.")
        if not len(dataset):
            raise ValueError(f"{name} has no rows.")
    if groups is not None and groups not in dev.column_names:
        raise ValueError(f"groups={groups!r} is not a column of validation_dataset ({dev.column_names}).")
    path = args.chat_template_path
    if path is not None and not path.endswith((".jinja", ".j2")):
        raise ValueError(
            f"chat_template_path={path!r} adds tokens to the model in every training: call trl.clone_chat_template on "
            "model and tokenizer first, and leave it out."
        )
    is_number = isinstance(coalitions_at_once, int) and not isinstance(coalitions_at_once, bool)
    if coalitions_at_once != "auto" and not (is_number and coalitions_at_once >= 1):
        raise ValueError(f"coalitions_at_once={coalitions_at_once!r} must be a whole number, at least 1, or 'auto'.")
