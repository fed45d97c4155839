"""Whether a published selection is what it says: its files, its rows, and the choice itself, made again.

That takes neither model nor evidence. Every row of the source has a content hash, and every candidate what the method
chose by, from which its own code chooses again (`selectors/rederive.py`). What is taken as it stands are the scores,
which came from a training run, the number that a threshold's rule came to, and the earlier steps of a chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from huggingface_hub import DatasetCard

from hf_datasel.cards.dataset_metadata import SCORES, SELECTED
from hf_datasel.example_ids import member_mask
from hf_datasel.hub.contents import PATTERNS, Selected, last_step, read_contents, read_manifest
from hf_datasel.hub.head import CARD
from hf_datasel.hub.reading import Snapshot
from hf_datasel.hub.scores import Scores
from hf_datasel.hub.source_check import compare_source
from hf_datasel.selectors.rederive import NotRederivable, rederive

MOST_TOLD = 3  # problems of one check


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what.
        ok: whether it holds; None where that cannot be said.
        message: what was found.
    """

    name: str
    ok: bool | None
    message: str


@dataclass(frozen=True)
class Verification:
    """What `verify_selection` found.

    Args:
        repo_id: the repo.
        commit: which was read, whatever name the revision was given.
        checks: in the order in which they were made.
    """

    repo_id: str
    commit: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is not False for check in self.checks)


def verify_selection(
    repo_id: str, *, revision: str | None = None, token: str | bool | None = None, check_source: bool = False
) -> Verification:
    """Check a selection that `push_selection_to_hub` published.

    Every file is downloaded, one at a time, to a temporary folder.

    Args:
        repo_id: the dataset repo.
        revision: a branch, a tag, a commit or a pull request's ref; the main branch where none is given.
        token: of the Hub; the one that is logged in where none is given.
        check_source: also load the source dataset at its revision, and compare every row's content with its hash.

    Returns:
        A `Verification`. Whatever is wrong with the repo's content is a failed check, and no error.

    Raises:
        ValueError: no name for a repo, or what it holds was not published by hf_datasel.
        FileNotFoundError: no such repo or revision, or none that the token may read.
        PermissionError: the token is not known, or access has to be asked for.
        ConnectionError: the Hub does not answer.
    """
    snapshot = Snapshot.open(repo_id, revision, token)
    return Verification(repo_id, snapshot.commit, tuple(_checks(snapshot, check_source)))


def _checks(snapshot: Snapshot, check_source: bool) -> Iterator[Check]:
    try:
        manifest = read_manifest(snapshot)
    except LookupError as error:
        raise ValueError(f"{snapshot.repo_id} was not published by hf_datasel: {error}.") from error
    except ValueError as error:
        yield Check("manifest", False, str(error))
        return
    told = manifest["versions"].get("hf_datasel")
    yield Check("manifest", True, f"published by hf_datasel {told}, chosen by {manifest['method']!r}")
    yield check_configs(snapshot)
    contents = read_contents(snapshot, manifest)
    yield _judged("files", contents.problems, f"all {len(manifest['files'])} data files are as published")
    scores, selected = contents.scores, contents.selected
    if scores is None:
        yield Check("scores", False, contents.unreadable[SCORES])
    else:
        yield Check("scores", True, f"{len(scores.ids):,} source rows have an id and a content hash")
    if selected is None:
        yield Check("selected", False, contents.unreadable[SELECTED])
    if scores is None:
        return
    yield _counts(manifest, scores, selected)
    if selected is not None:
        yield _ids(selected, scores)
        yield _content(selected, scores)
    yield from _choice(manifest["provenance"], scores)
    if check_source:
        yield Check("source", *compare_source(manifest["source"], manifest["columns"], scores, snapshot.api.token))


def _judged(name: str, problems: Sequence[str], otherwise: str) -> Check:
    """A check that holds where there are no problems; the first few are told."""
    more = f", and {len(problems) - MOST_TOLD:,} more" if len(problems) > MOST_TOLD else ""
    return Check(name, not problems, "; ".join(problems[:MOST_TOLD]) + more if problems else otherwise)


def check_configs(snapshot: Snapshot) -> Check:
    """Whether `load_dataset` reads the files that are checked here: README.md decides."""
    try:
        configs = DatasetCard(snapshot.text(CARD)).data.to_dict().get("configs") if CARD in snapshot.files else None
    except (ValueError, yaml.YAMLError) as error:
        return Check("configs", False, f"the metadata of {CARD} cannot be read: {' '.join(str(error).split())}")
    given = [entry for entry in configs if isinstance(entry, dict)] if isinstance(configs, list) else []
    problems = [
        f"{CARD} gives the config {name!r} other files than {pattern}"
        for name, pattern in PATTERNS.items()
        if [entry.get("data_files") for entry in given if entry.get("config_name") == name]
        != [[{"split": "train", "path": pattern}]]
    ]
    return _judged("configs", problems, "load_dataset reads these files")


def _counts(manifest: dict[str, Any], scores: Scores, selected: Selected | None) -> Check:
    last = last_step(manifest)
    num_kept, num_candidates = int(scores.kept.sum()), len(scores.published.ids)
    told = manifest["counts"]
    found = [
        ("source rows", len(scores.ids), told.get("source")),
        ("candidates", num_candidates, told.get("candidates")),
        ("candidates", num_candidates, last.get("num_candidates", num_candidates)),
        ("kept rows", num_kept, told.get("kept")),
        ("kept rows", num_kept, last.get("num_kept", num_kept)),
        ("selected rows", num_kept if selected is None else len(selected.ids), num_kept),
    ]
    problems = [f"{num:,} {what}, where the manifest says {said}" for what, num, said in found if said != num]
    return _judged("counts", problems, f"{num_kept:,} of {num_candidates:,} candidates are kept, as the manifest says")


def _ids(selected: Selected, scores: Scores) -> Check:
    kept = scores.ids[scores.kept]
    unique, times = np.unique(selected.ids, return_counts=True)
    problems = [
        *(f"example {one} is selected, but scores do not keep it" for one in np.setdiff1d(unique, kept).tolist()),
        *(f"example {one} is kept by scores, but not selected" for one in np.setdiff1d(kept, unique).tolist()),
        *(f"example {one} is selected more than once" for one in unique[times > 1].tolist()),
    ]
    return _judged("ids", problems, "the selected rows are those that scores keep")


def _content(selected: Selected, scores: Scores) -> Check:
    known = member_mask(scores.ids, selected.ids)
    ids, digests = selected.ids[known], selected.digests[known]
    unlike = ids[digests != scores.digests[np.searchsorted(scores.ids, ids)]]
    problems = [f"example {example} has other content than its hash says" for example in unlike.tolist()]
    return _judged("content", problems, "every selected row has the content that was hashed")


def _choice(steps: list[dict[str, Any]], scores: Scores) -> Iterator[Check]:
    """Whether the last step, chosen again, keeps what is said to be kept; and that earlier steps are not known."""
    name = "selection"
    if not steps:
        yield Check(name, None, "cannot be chosen again: how it was made is not recorded")
        return
    step, published = steps[-1], scores.published
    try:
        again = rederive(step, published)
    except NotRederivable as error:
        yield Check(name, None, f"cannot be chosen again: {error}")
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # nothing that `select` leaves behind
        yield Check(name, False, f"cannot have been chosen so: {error}")
    else:
        differs = again != scores.kept[scores.candidate]
        problems = [
            f"example {example} is {'left out' if kept else 'kept'}, but {step['selector']!r} "
            f"{'keeps' if kept else 'leaves out'} it"
            for example, kept in zip(published.ids[differs].tolist(), again[differs].tolist(), strict=True)
        ]
        numpy = step.get("versions", {}).get("numpy")
        if problems and numpy != np.__version__:
            problems.insert(0, f"it was chosen with numpy {numpy}, and {np.__version__} here may draw otherwise")
        rule = step["config"].get("threshold")
        taken = f"; what the threshold {rule!r} came to is taken as recorded" if isinstance(rule, str) else ""
        yield _judged(name, problems, f"{step['selector']!r} chooses the same {int(again.sum()):,} rows again{taken}")
    if len(steps) > 1:
        names = ", ".join(repr(step.get("selector")) for step in steps[:-1])
        yield Check("earlier steps", None, f"{names} cannot be chosen again: their scores are not published")
