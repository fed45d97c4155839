"""``clues``: several parties, one process, one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import peft
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig
from trl.trainer.utils import create_model_from_path

from hf_datasel.collaborative import rules
from hf_datasel.collaborative.adapters import draw_adapter, save_adapter, shared_config
from hf_datasel.collaborative.checks import (
    check_merge,
    check_parties,
    check_selection,
    recording_options,
)
from hf_datasel.collaborative.coordinator import Coordinator, Plan
from hf_datasel.collaborative.fedavg import FedAvg
from hf_datasel.collaborative.local_training import LocalTraining
from hf_datasel.collaborative.merging import Merge
from hf_datasel.collaborative.party import Party, PartyServer
from hf_datasel.collaborative.report import describe_model, describe_selection, make_report
from hf_datasel.collaborative.tables import pack_rows
from hf_datasel.collaborative.transport import InProcess, Transport
from hf_datasel.collaborative.workspace import claim, digest
from hf_datasel.data import dataset_fingerprint
from hf_datasel.selection import Selection
from hf_datasel.selectors import CLUESSelector
from hf_datasel.storage import write_json
from hf_datasel.training.describe import training_settings, versions
from hf_datasel.training.influence.wanted import wanted_contrasts
from hf_datasel.training.progress import OneBar

Handlers = Mapping[str, Callable[[Any], Any]]
DEFAULT_RULE = CLUESSelector()


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a run made.

    Args:
        selections: what each party keeps; a party with no row left is not among them.
        adapter_path: directory of the merged adapter, as PEFT reads it.
        report: what was done and what the parties sent, as in ``report.json``.
    """

    selections: Mapping[str, Selection]
    adapter_path: Path
    report: Mapping[str, Any]

    def __repr__(self) -> str:
        kept = ", ".join(f"{name} {len(s)} of {len(s.candidate_ids)}" for name, s in self.selections.items())
        return f"Result(kept: {kept}; adapter: {self.adapter_path})"

    def load(self, model: PreTrainedModel) -> PeftModel:
        """The model with the merged adapter."""
        return PeftModel.from_pretrained(model, str(self.adapter_path))


def clues(
    parties: Sequence[Party],
    *,
    model: str | PreTrainedModel,
    args: SFTConfig,
    peft_config: LoraConfig,
    validation_dataset: Dataset | None = None,
    anchor_dataset: Dataset | None = None,
    selector: CLUESSelector | None = DEFAULT_RULE,
    merge: str | Merge | FedAvg = "ties",
    threshold_scope: Literal["per_client", "global"] = "per_client",
    recording: Mapping[str, Any] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    formatting_func: Callable[..., Any] | None = None,
    on_empty: Literal["raise", "skip"] = "raise",
    output_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    connect: Callable[[Handlers], Transport] = InProcess,
) -> Result:
    """Filter several parties' rows with CLUES and train one model on what is left, without pooling the rows.

    Zhao et al., NeurIPS 2024, arXiv 2507.03004. Step one: every party trains a LoRA adapter from the common theta_0 on
    all its rows, and records how each row's gradient lies to that of public validation rows. Step two: it drops the
    rows below a threshold that public anchors set, and trains from theta_0 again on the rest; the adapters are merged,
    or trained in federated rounds.

    What crosses, besides the public rows, the rule and theta_0, which go to the parties:

    - ``threshold_scope="per_client"``: each party scores the anchors on its own checkpoints and sets its own
      threshold. From the parties come whether any row is left, and the trained adapters.
    - ``threshold_scope="global"`` (the paper's one tau): also the anchors' scores at each party, float32 ``[n]``. They
      are functions of public rows and of the party's adapters. tau goes back.
    - weights "num_kept": also the number of rows each party kept.

    No score, id or text of a private row crosses. Adapters and counts do tell something of the rows they come from;
    nothing here bounds how much, and a filter cannot be checked from outside. ``report["received"]`` lists what came.

    A run that was killed goes on where it stopped when it is called again with the same settings: after the last
    answer of a party, and inside a training from its last checkpoint, if ``args`` saves any.

    Args:
        parties: at least one, names all different.
        model: name, path or object. Parties train twins that share its weights, so it is held in memory once and stays
            as it was.
        args: of every training, in both steps; nothing is reported, evaluated or pushed. ``args.seed`` seeds theta_0,
            the trainings and the merge.
        peft_config: of the adapters.
        validation_dataset: public rows, in the parties' format, whose mean gradient is the direction.
        anchor_dataset: public rows of the wanted quality that set the threshold.
        selector: the rule; the default needs rows of a question and an answer. None: train on everything, or on the
            Selections that the parties bring.
        merge: a method of ``peft.add_weighted_adapter``, a :class:`Merge` with its options, or :class:`FedAvg`.
        threshold_scope: see above; without effect where the selector has a budget or a number for a threshold.
        recording: more options of ``GradientTraceCallback``, as in ``num_checkpoints``, ``parameters``,
            ``precondition``. What the selector's detectors need (norms, IFD, pairing, contrasted directions from
            damaged validation rows) is recorded of itself.
        tokenizer: as SFTTrainer's ``processing_class``; the model's own by default.
        formatting_func: as in SFTTrainer.
        on_empty: a party with no row left is an error that names it, or is skipped.
        output_dir: ``args.output_dir`` by default.
        overwrite: throw away what a run of other settings left there.
        progress: show a bar in a terminal.
        connect: makes the transport to the parties of this process.

    Returns:
        The Selections, the merged adapter's directory, and a report.

    Raises:
        TypeError: something of another kind than stated.
        ValueError: names twice, a rule without the rows it needs, options that do not fit each other or the transport
            of adapters (named), unequal LoRA ranks for a merge that needs equal ones, a party with no row left, or an
            ``output_dir`` of another run.
        RuntimeError: started in several processes.

    Example::

        result = clues(
            [Party("north", north), Party("south", south)],
            model="Qwen/Qwen3-0.6B",
            args=SFTConfig(output_dir="clues", num_train_epochs=3),
            peft_config=LoraConfig(r=16, target_modules=["q_proj", "v_proj"]),
            validation_dataset=validation,
            anchor_dataset=anchors,
            selector=CLUESSelector(threshold="conformal"),
            merge="ties",
        )
        model = result.load(base_model)
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RuntimeError("clues runs its parties one after another in one process: start it without a launcher.")
    merge = Merge(method=cast(Any, merge)) if isinstance(merge, str) else merge  # check_merge refuses unknown names
    configs = check_parties(parties, peft_config)
    check_merge(merge, configs, args)
    check_selection(selector, parties, validation_dataset, anchor_dataset, threshold_scope)
    if on_empty not in ("raise", "skip"):
        raise ValueError(f"on_empty={on_empty!r} must be 'raise' or 'skip'.")
    loaded = create_model_from_path(model, **(args.model_init_kwargs or {})) if isinstance(model, str) else model
    if isinstance(loaded, PeftModel):
        raise TypeError("model has a PEFT adapter already: call merge_and_unload() first, and pass peft_config.")
    if tokenizer is None and isinstance(model, str):
        tokenizer = AutoTokenizer.from_pretrained(model)
    directory = Path(args.output_dir if output_dir is None else output_dir)
    training = LocalTraining(loaded, tokenizer, args, {"formatting_func": formatting_func})
    servers = {
        party.name: PartyServer(party, training, directory / "parties" / party.name, args.seed) for party in parties
    }
    theta_0 = draw_adapter(loaded, peft_config, args.seed)
    is_common = {party.name: party.peft_config is None or isinstance(merge, FedAvg) for party in parties}
    plan = Plan(
        rule=None if selector is None else rules.make_rule(selector),
        over_all=threshold_scope == "global"
        and selector is not None
        and isinstance(rules.threshold_of(selector), str),
        recording=recording_options(recording, selector),
        **_public_rows(selector, validation_dataset, anchor_dataset),
        starts={name: theta_0 if common else None for name, common in is_common.items()},
        merge=merge,
        on_empty=on_empty,
        seed=args.seed,
    )
    settings = {
        "model": describe_model(model),
        "peft_config": {name: shared_config(config) for name, config in configs.items()},
        "args": training_settings(args),
        "parties": {name: dataset_fingerprint(server.dataset).to_dict() for name, server in servers.items()},
        "selections": {party.name: describe_selection(party.selection) for party in parties},
        "validation_dataset": None if plan.validation is None else digest(plan.validation.table),
        "anchor_dataset": None if plan.anchors is None else digest(plan.anchors.table),
        "selector": plan.rule,
        "threshold_scope": "global" if plan.over_all else "per_client",
        "recording": plan.recording,
        "merge": merge.to_dict(),
        "on_empty": on_empty,
        "versions": {**versions(), "peft": peft.__version__},
    }
    claim(directory, settings, overwrite=overwrite)
    with OneBar(plan.num_answers, "clues", "answer", progress) as bar:
        outcome = Coordinator(connect(servers), loaded, plan, directory, bar.advance).run()
    for notice in outcome.threshold.notices if outcome.threshold is not None else ():
        warnings.warn(notice, UserWarning, stacklevel=2)
    assert outcome.adapter is not None
    save_adapter(outcome.adapter, directory / "adapter", describe_model(loaded)["name"], overwrite=True)
    selections = {name: servers[name].selection for name in outcome.taking_part}
    report = make_report(settings, servers, selections, outcome)
    write_json(directory / "report.json", report)
    return Result(selections, directory / "adapter", report)


def _public_rows(
    selector: CLUESSelector | None, validation: Dataset | None, anchors: Dataset | None
) -> dict[str, Any]:
    """The rows that go to the parties, as fields of a Plan; contrasts are validation rows damaged on purpose."""
    if selector is None or validation is None:
        return {"validation": None, "contrasts": {}, "anchors": None}
    contrasts = wanted_contrasts(selector, validation)
    return {
        "validation": pack_rows(validation),
        "contrasts": {name: pack_rows(rows) for name, rows in contrasts.items()},
        "anchors": None if anchors is None else pack_rows(anchors),
    }
