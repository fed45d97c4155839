"""SelectingSFTTrainer: select, then train on what was chosen, in one call."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset, IterableDataset
from peft import PeftConfig
from transformers import DataCollator, PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTTrainer

from hf_datasel.cards import PAPERS
from hf_datasel.data import add_example_ids
from hf_datasel.selection import Selection
from hf_datasel.selectors.chain import parse_chain
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.curriculum import ConfidenceCurriculumCallback
from hf_datasel.training.online import OnlineSelection
from hf_datasel.training.proxy import load_trainable, proxy_tokenizer, require_readable
from hf_datasel.training.publishing import Publisher, require_publishable
from hf_datasel.training.reselect import Reselection
from hf_datasel.training.selectable import require_selectable
from hf_datasel.training.selection_metrics import SelectionMetricsCallback
from hf_datasel.training.stage import SelectionStage, last_checkpoint, stage_directory
from hf_datasel.training.stage_proxy import StageProxy


class SelectingSFTTrainer(SFTTrainer):
    """An SFTTrainer that first selects the examples worth training on.

    ``train()`` runs a selection stage (a proxy model, or a copy of the model itself, is trained on everything while
    losses or gradients are recorded, or for SHED on coalitions of clusters; then a selector chooses), and then
    ``SFTTrainer.train`` on what was chosen, exactly as an SFTTrainer given ``selection.apply(dataset)`` would. The
    Selection is saved in ``output_dir/selection`` and inside every checkpoint; a killed run resumes where it stopped,
    in either part. The evaluation set is left alone. With several processes, end a script with ``trainer.end()``, as
    with any Trainer: torch may abort a process that exits without.

    Args:
        model: the model to train: name, path or object.
        args: a :class:`SelectingSFTConfig`.
        data_collator: as in SFTTrainer.
        train_dataset: everything there is to select from, in any of TRL's text formats. Ids are added if it has none.
        eval_dataset: as in SFTTrainer; nothing is selected from it.
        processing_class: tokenizer of ``model``.
        proxy_model: a proxy as an object; by name or path it is ``args.proxy_model``. Without either, a copy of the
            model itself is trained as a warm-up, in addition to the model's own memory.
        proxy_processing_class: tokenizer of the proxy; its own by default.
        proxy_peft_config: train the proxy with this adapter.
        validation_dataset: trusted rows, not in ``train_dataset``, that gradients are held against (CLUES, DataInf,
            online selection), fine-tuned models are measured on (SHED), or rows are to be like (DSIR).
        anchor_dataset: trusted rows that are scored as the others are and give CLUES its threshold.
        selection: train on this Selection; nothing is recorded or selected then.
        **kwargs: everything else SFTTrainer takes.

    Attributes:
        selection: the Selection, once made.

    Raises:
        TypeError: ``args`` is not a SelectingSFTConfig.
        ValueError: options that do not fit each other, or a proxy that cannot read the data.

    Example::

        trainer = SelectingSFTTrainer(
            model="Qwen/Qwen3-8B",
            args=SelectingSFTConfig(output_dir="out", proxy_model="EleutherAI/pythia-70m", selection_budget=0.11),
            train_dataset=dataset,
        )
        trainer.train()

        trainer = SelectingSFTTrainer(  # CLUES: warm up, keep what passes the anchors' threshold, train from the start
            model="Qwen/Qwen3-0.6B",
            args=SelectingSFTConfig(output_dir="out", selection_method="clues"),
            train_dataset=dataset,
            validation_dataset=trusted,
            anchor_dataset=anchors,
            peft_config=LoraConfig(),
        )

        trainer = SelectingSFTTrainer(  # SHED: keep a tenth, of the clusters that are worth most to fine-tune on
            model="Qwen/Qwen3-0.6B",
            args=SelectingSFTConfig(output_dir="out", selection_method="shed", selection_budget=0.1),
            train_dataset=dataset,
            validation_dataset=trusted,
            peft_config=LoraConfig(),
        )
    """

    _tag_names: ClassVar[list[str]] = ["trl", "sft", "hf-datasel"]
    _name = "SelectingSFT"
    _paper = PAPERS["s2l"]

    def __init__(
        self,
        model: str | PreTrainedModel,
        args: SelectingSFTConfig | None = None,
        data_collator: DataCollator | None = None,
        train_dataset: Dataset | IterableDataset | None = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        proxy_model: PreTrainedModel | None = None,
        proxy_processing_class: PreTrainedTokenizerBase | None = None,
        proxy_peft_config: PeftConfig | None = None,
        validation_dataset: Dataset | None = None,
        anchor_dataset: Dataset | None = None,
        selection: Selection | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = SelectingSFTConfig(f"{name.rstrip('/').split('/')[-1] or 'model'}-SelectingSFT")
        if not isinstance(args, SelectingSFTConfig):
            raise TypeError(f"args must be a SelectingSFTConfig, not {type(args).__name__}: it says what to select.")
        if train_dataset is None:
            raise ValueError("`train_dataset` is required: it is what examples are selected from.")
        if proxy_model is not None and (args.proxy_model is not None or args.selection_continue):
            raise ValueError(
                "proxy_model is given as an object, so args.proxy_model and args.selection_continue cannot be set."
            )
        self.selection: Selection | None = None
        self._given = args.selection_path if selection is None else selection
        self._source = add_example_ids(train_dataset)
        self._proxy = proxy_model if proxy_model is not None else args.proxy_model
        self._proxy_tokenizer: PreTrainedTokenizerBase | None = None
        # PEFT writes the base model's name into them.
        self._peft_configs = copy.deepcopy((proxy_peft_config, kwargs.get("peft_config")))
        self._reselection: Reselection | None = None
        self._held_out = (validation_dataset, anchor_dataset)
        self._online: OnlineSelection | None = None
        require_selectable(args, train_dataset, *self._held_out, has_selection=self._given is not None)
        if args.push_to_hub:
            require_publishable(args, train_dataset)
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=self._source,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self._paper = PAPERS.get(args.selection_method, {})
        is_read = any(link.selector.reads_values for link in parse_chain(args.selection_method))
        if self._proxy is not None and is_read and self._given is None:
            self._proxy_tokenizer = proxy_tokenizer(self._proxy, proxy_processing_class, self.processing_class)
            sample = [row for row, _ in zip(self._source, range(32), strict=False)]
            require_readable(self._proxy, self._proxy_tokenizer, sample, args.dataset_text_field)
        self._publisher = Publisher(self, train_dataset, self._source, self._proxy, self._given is not None)
        self.add_callback(SelectionMetricsCallback(self))
        if args.selection_curriculum is not None:
            self.add_callback(ConfidenceCurriculumCallback(self, tokens_per_batch=args.selection_tokens_per_batch))
        if args.selection_online_every is not None:
            self._online = OnlineSelection(
                self,
                validation_dataset,
                args.selection_parameters,
                args.selection_online_share,
                args.selection_online_every,
                args.selection_tokens_per_batch,
            )

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """As in Trainer; with ``selection_online_every`` a due step's batches are cut to their best rows."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._online is None or not batches or not self._online.is_due():
            return batches, num_items
        kept, gap = self._online.cut(batches)
        self._metrics["train"]["selection/online_gap"].append(gap)
        return kept, self._get_num_items_in_batch(kept, device)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Select, or take up the checkpoint's Selection, then train; returns what ``SFTTrainer.train`` returns.

        ``resume_from_checkpoint=True`` also takes up a run that was killed before its first checkpoint, where its
        selection stage stopped.
        """
        checkpoint = resume_from_checkpoint if isinstance(resume_from_checkpoint, str) else None
        if resume_from_checkpoint is True:
            checkpoint = last_checkpoint(self.args.output_dir)
            if checkpoint is None and not stage_directory(self.args).is_dir():
                raise ValueError(f"No valid checkpoint found in output directory ({self.args.output_dir})")
        self.selection = self._get_selection(checkpoint)
        self._train_on(self.selection)
        return super().train(checkpoint, *args, **kwargs)

    def log_selection(self, metrics: dict[str, float]) -> None:
        """Log without SFTTrainer's running averages, which would be cut short here."""
        super(SFTTrainer, self).log(metrics)

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Write the card of what was trained, on which rows of what, into ``output_dir``; never fails.

        Args:
            model_name: its title.
            dataset_name: what was selected from, where that cannot be found out.
            tags: more of them.
        """
        if self.is_world_process_zero():
            self._publisher.write_card(self.args.output_dir, model_name, dataset_name, tags)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in SFTTrainer, with a card beside the model."""
        super().save_model(output_dir, _internal_call)
        if not _internal_call and self.is_world_process_zero():
            self._publisher.write_card(output_dir or self.args.output_dir, None, None, None)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in SFTTrainer, and the curated dataset before it, unless ``selection_push_dataset=False``.

        The dataset goes to ``selection_hub_dataset_id`` from the main process, for which the others wait, at most
        ``ddp_timeout`` seconds; it is there when this returns, whatever ``blocking`` says of the model. A dataset that
        cannot be pushed does not hold back the model.

        Raises:
            OSError, ValueError: what hinders the push, as `push_selection_to_hub`.
            RuntimeError: on the other processes, where pushing the dataset fails.
        """
        try:
            self._publisher.push_dataset(token, private, revision)
        finally:
            pushed = super().push_to_hub(commit_message, blocking, token, revision, private, **kwargs)
        return pushed

    def _get_selection(self, checkpoint: str | None) -> Selection:
        if checkpoint is not None:
            saved = os.path.join(checkpoint, "selection")
            if not os.path.isdir(saved):
                raise ValueError(
                    f"{checkpoint} holds no Selection, so it was not made by SelectingSFTTrainer: resume it with "
                    "SFTTrainer, or start again."
                )
            return Selection.load(saved)
        if self._given is not None:
            return self._given if isinstance(self._given, Selection) else Selection.load(Path(self._given))
        stage = SelectionStage(self.args, self.accelerator, self._source, self._stage_proxy(), *self._held_out)
        selection = stage.run()
        if self.args.selection_continue:
            load_trainable(self.model, stage.weights_path)
        return selection

    def _train_on(self, selection: Selection) -> None:
        """Put the chosen rows in place of all rows."""
        if self.args.selection_same_steps and self.args.max_steps <= 0:
            self.args.max_steps = self.set_initial_training_values(self.args, self.get_train_dataloader())[-1]
        if self.args.selection_every is None:
            self.train_dataset = self._prepare_dataset(
                selection.apply(self._source),
                self.processing_class,
                self.args,
                self.args.packing,
                self._formatting_func,
                "train",
            )
        elif self._reselection is None:
            self._reselection = Reselection(self, selection)
            self.add_callback(self._reselection)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        if self._reselection is not None and (train_dataset is None or len(train_dataset) == len(self.train_dataset)):
            return self._reselection.sampler
        return super()._get_train_sampler(train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before the weights: trainer_state.json comes last, and a checkpoint without it is never resumed from.
        if self.selection is not None and self.args.should_save:
            folder = os.path.join(self._get_output_dir(trial=trial), f"checkpoint-{self.state.global_step}")
            os.makedirs(folder, exist_ok=True)
            self.selection.save(os.path.join(folder, "selection"), overwrite=True)
        super()._save_checkpoint(model, trial)

    def _stage_proxy(self) -> StageProxy:
        return StageProxy(
            self.args,
            self.model,
            self._proxy,
            self.processing_class if self._proxy_tokenizer is None else self._proxy_tokenizer,
            *self._peft_configs,
            self._formatting_func,
        )
