"""`hf-datasel quickstart`: the main job, from a corpus to a report.

1. generate the corpus; pre-train a proxy and a target on its other, clean text
2. train the proxy on all instructions; record every example's loss and how its
   gradient lies to that of a few trusted rows                                     -> trace/, influence/
3. select with S2L                                                                 -> selection/, curated/
4. train the target on S2L's subset, on SHED's, on a random one and on everything, for the same number of optimiser
   steps, several times                                                            -> runs/
5. compare                                                                         -> results.json, report.md
"""

import os
from pathlib import Path
from typing import Any

from hf_datasel import Selection, Trace
from hf_datasel.quickstart import jobs, summary
from hf_datasel.quickstart.plan import Plan, QuickstartArguments
from hf_datasel.quickstart.progress import Progress, quiet_libraries
from hf_datasel.quickstart.workdir import open_workdir
from hf_datasel.quickstart.workers import Workers, one_thread, usable_workers
from hf_datasel.quickstart.write_report import write_report
from hf_datasel.storage import atomic_directory, write_json
from hf_datasel.training.describe import versions

__all__ = ["QuickstartArguments", "main", "quickstart"]


def quickstart(output_dir: str | os.PathLike[str], **options: Any) -> dict[str, Any]:
    """Run the quickstart from Python; see `main`.

    Args:
        output_dir: directory for everything it writes.
        options: the other fields of `QuickstartArguments`, as in `num_seeds=3`. A script that lets it use several
            processes (`num_workers`) needs the usual `if __name__ == "__main__":`.

    Returns:
        What `results.json` holds.
    """
    return main(QuickstartArguments(output_dir=os.fspath(output_dir), **options))


def main(args: QuickstartArguments) -> dict[str, Any]:
    """Record, select, train and compare, then print the outcome and where everything lies.

    What an earlier, killed run with the same options finished is kept and not done again.

    Returns:
        What `results.json` holds.

    Raises:
        ValueError: an option is out of range, or `output_dir` belongs to a quickstart with other options.
        FileExistsError: `output_dir` holds other things.
        RuntimeError: it was started in several processes; it starts its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RuntimeError(
            "The quickstart shares its work among processes of its own: start it as `hf-datasel quickstart`, without "
            "accelerate launch or torchrun."
        )
    plan = Plan.from_arguments(args)
    num_workers = usable_workers(args.num_workers)
    root = open_workdir(Path(args.output_dir), plan, overwrite=args.overwrite)
    every_run: list[tuple[jobs.Arm, int]] = [(arm, index) for index in range(args.num_seeds) for arm in jobs.ARMS]
    total, done = _work(plan, root, every_run)
    with (
        quiet_libraries(),
        one_thread(),
        Progress(total, done) as progress,
        Workers(num_workers, progress.advance) as workers,
    ):
        progress.stage("generating the corpus")
        inputs = jobs.make_inputs(plan)
        corpus = jobs.describe_rows(inputs.examples)
        progress.report(
            f"corpus: {corpus['num_rows']:,} rows, {corpus['num_distinct']:,} different, "
            f"{corpus['corrupted']:.0%} corrupted; {len(inputs.test):,} test rows, {len(inputs.corpus.trusted):,} "
            "trusted rows"
        )
        progress.stage("pre-training proxy and target")
        target = workers.submit(jobs.pretrain, plan, root, "target")
        jobs.pretrain(plan, root, "proxy", progress.advance)
        progress.stage("recording the proxy's losses and gradients")
        trace = jobs.record(plan, root, progress.advance)
        progress.report(f"trace: {trace.num_examples:,} examples x {trace.num_checkpoints} checkpoints")
        selection = _keep_selection(plan, root, trace, inputs)
        progress.report(f"selection: S2L keeps {len(selection):,} of {len(selection.candidate_ids):,} examples")
        progress.stage("pre-training the target")
        workers.wait_for(target)
        outcomes = _train_all(plan, root, every_run, workers, progress)
        progress.stage("writing the report")
        results = {"plan": plan.to_dict(), "versions": versions(), **summary.summarise(outcomes, corpus)}
        write_json(root / "results.json", results)
        write_report(root, results, trace, selection, inputs.examples)
    print(summary.as_text(summary.score_table(results)), *summary.verdicts(results), summary.SCOPE, sep="\n")
    print(f"\nReport: {root / 'report.md'}   Curated dataset: {root / 'curated'}", flush=True)
    return results


def _keep_selection(plan: Plan, root: Path, trace: Trace, inputs: jobs.Inputs) -> Selection:
    """S2L's first selection and the dataset cut down to it, on the disk."""
    if (root / "selection" / "manifest.json").is_file():
        selection = Selection.load(root / "selection")
    else:
        selection = jobs.select_s2l(plan, trace, 0)
        selection.save(root / "selection")
    if not (root / "curated" / "state.json").is_file():
        with atomic_directory(root / "curated", what="dataset", marker="state.json", overwrite=False) as building:
            selection.apply(inputs.examples).save_to_disk(str(building))
    return selection


def _train_all(
    plan: Plan, root: Path, every_run: list[tuple[jobs.Arm, int]], workers: Workers, progress: Progress
) -> list[dict[str, Any]]:
    """The outcomes in the order of `every_run`."""
    progress.stage(f"training targets: 0 of {len(every_run)} done")
    calls = [(plan, root, arm, index) for arm, index in every_run]
    outcomes = {}
    for outcome in workers.run_all(jobs.train_arm, calls):
        outcomes[outcome["arm"], outcome["seed"]] = outcome
        progress.stage(f"training targets: {len(outcomes)} of {len(calls)} done")
        progress.report(
            f"target on {outcome['arm']}, seed {outcome['seed']}: macro exact match {outcome['macro_exact_match']:.3f}"
        )
    return [outcomes[arm, plan.seed + index] for arm, index in every_run]


def _work(plan: Plan, root: Path, every_run: list[tuple[jobs.Arm, int]]) -> tuple[float, float]:
    """Work there is in all, and work that an earlier run has done."""
    one_run = jobs.run_cost(plan)
    pieces = [
        (jobs.pretraining_cost(plan, "proxy"), jobs.is_pretrained(root, "proxy")),
        (jobs.pretraining_cost(plan, "target"), jobs.is_pretrained(root, "target")),
        (jobs.recording_cost(plan), jobs.is_recorded(root)),
        *((one_run, jobs.run_path(root, arm, index).is_file()) for arm, index in every_run),
    ]
    return sum(cost for cost, _ in pieces), sum(cost for cost, is_done in pieces if is_done)
