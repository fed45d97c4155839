"""The sections of a curated dataset's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from hf_datasel.cards.dataset_metadata import SCORES, SELECTED
from hf_datasel.cards.hub_names import hub_id, repo_link, short_name
from hf_datasel.cards.methods import limits_of, link_to_paper
from hf_datasel.cards.render import as_json
from hf_datasel.cards.steps import model_name, name_model
from hf_datasel.cards.text import NOTHING, code, count, escape, fence, in_list, table
from hf_datasel.report.picture import Picture

MOST_GROUPS = 50  # rows of a table of groups; the others are added up in one
MOST_EXAMPLES, MOST_ITEMS, LONGEST_EXAMPLE = 3, 20, 300  # rows; of a value: items, characters
EVERYWHERE = (
    "That these rows are better to train on than as many random ones is what the method hopes for, not what was shown "
    "here: compare the two on your own data before you rely on it.",
    "What is wrong with the source (errors, bias, personal data, repetitions) can be wrong with these rows, and its "
    "licence holds for them.",
)


def opening(manifest: Mapping[str, Any], repo_id: str) -> str:
    """What this is, from what, and how much of it."""
    counts = manifest.get("counts") or {}
    kept, total, candidates = (counts.get(name) for name in ("kept", "source", "candidates"))
    share = f" ({kept / total:.1%})" if isinstance(kept, int) and total else ""
    source = manifest.get("source") or {}
    revision = f" at revision {code(source['revision'])}" if source.get("revision") else ""
    parts = [f"{name} {code(source[name])}" for name in ("config", "split") if source.get(name)]
    within = f" ({', '.join(parts)})" if parts else ""
    text = (
        f"{count(kept)} of {count(total)} rows{share} of {_name_source(source)}{within}{revision}, chosen by "
        f"{link_to_paper(str(manifest.get('method')))} with hf\\_datasel."
    )
    if isinstance(candidates, int) and candidates != total:
        text += f" {count(candidates)} rows could be chosen from; the others were left out before."
    if source.get("id") and not source.get("revision"):
        text += " The source's revision is not known, so that it may have changed since."
    return text


def group_tables(groups: Mapping[str, Sequence[tuple[str, int, int]]]) -> list[str]:
    """For each column a table: rows of a value before, after, their shares, and the share that was kept."""
    blocks = []
    for column, counts in groups.items():
        ordered = sorted(counts, key=lambda one: (-one[1], str(one[0])))
        shown, rest = ordered[:MOST_GROUPS], ordered[MOST_GROUPS:]
        lines = [(code(name) if str(name).strip() else "*empty*", before, after) for name, before, after in shown]
        if rest:
            lines.append((f"*{len(rest):,} more*", sum(one[1] for one in rest), sum(one[2] for one in rest)))
        total, kept = sum(one[1] for one in counts), sum(one[2] for one in counts)
        lines.append(("**all**", total, kept))
        cells = [
            [name, f"{before:,}", _share(before, total), f"{after:,}", _share(after, kept), _share(after, before)]
            for name, before, after in lines
        ]
        header = [code(column), "rows before", "share before", "rows after", "share after", "kept of them"]
        blocks.append(table(header, cells, numbers=5))
    return blocks


def picture_blocks(pictures: Sequence[Picture]) -> list[str]:
    """Each picture by a relative link, with what it shows in words and a link to its numbers."""
    return [
        f"![{escape(picture.alt)}](assets/{quote(picture.path.name)})\n\n*{escape(picture.title)}* "
        f"([numbers](assets/{quote(picture.data.name)}))"
        for picture in pictures
    ]


def example_block(examples: Sequence[Mapping[str, Any]]) -> list[str]:
    """A few rows as JSON; long text is cut, and what is no text or number is named by its kind."""
    lines = [as_json({name: _short(one) for name, one in row.items()}, indent=2) for row in examples[:MOST_EXAMPLES]]
    return [fence("\n".join(lines), "json")] if lines else []


def how_to_load(manifest: Mapping[str, Any], repo_id: str) -> str:
    """Both configs, in Python."""
    counts = manifest.get("counts") or {}
    snippet = (
        "from datasets import load_dataset\n\n"
        f'selected = load_dataset({repo_id!r}, split="train")  # config "{SELECTED}"\n'
        f'scores = load_dataset({repo_id!r}, "{SCORES}", split="train")'
    ).replace("'", '"')
    return (
        f"{fence(snippet, 'python')}\n\n"
        f"`{SELECTED}` holds the {count(counts.get('kept'))} kept rows in the source's order, with their columns and "
        f"`example_id`, the row's number in the source. `{SCORES}` holds a row for every row of the source: its "
        "`example_id`, a `content_hash`, whether it was a `candidate`, whether it was `kept`, and the `score`, "
        "`cluster` or `stratum` that the method gave it, if it gives any. The numbers behind every picture are in "
        "`assets/`, and everything needed to choose again in `selection/`."
    )


def how_to_use_on_the_source(manifest: Mapping[str, Any], repo_id: str) -> str:
    """The same rows out of the source itself, for whoever has it already."""
    source = manifest.get("source") or {}
    name = hub_id(source.get("id"))
    load = "source = ...  # the dataset that the rows come from, with its rows in their order"
    if name:
        given = [name, *([source["config"]] if source.get("config") else [])]
        options = {"split": source.get("split") or "train", "revision": source.get("revision")}
        words = [*map(_quoted, given), *(f"{key}={_quoted(one)}" for key, one in options.items() if one)]
        load = f"source = load_dataset({', '.join(words)})"
    snippet = (
        "from datasets import load_dataset\n"
        "from hf_datasel import Selection, add_example_ids\n\n"
        f"{load}\n"
        f'scores = load_dataset("{repo_id}", "{SCORES}", split="train").with_format("numpy")\n'
        'selection = Selection(candidate_ids=scores["example_id"][:], kept=scores["kept"][:])\n'
        "curated = selection.apply(add_example_ids(source))"
    )
    return fence(snippet, "python")


def how_to_check(repo_id: str) -> str:
    """By the command that chooses again."""
    return (
        f"{fence(f'hf-datasel verify {repo_id}', 'sh')}\n\n"
        "chooses again, from the recorded scores, settings and seed, and says whether the published rows are those "
        "that come out; with `--check_source` it also downloads the source at its revision and compares every row's "
        "content hash. What must match is in `selection/manifest.json`."
    )


def what_it_does_not_promise(manifest: Mapping[str, Any], names: Sequence[str]) -> str:
    """The methods' limits, and those that any choice of rows has."""
    told = limits_of(names)
    models = [model for model in manifest.get("models") or () if isinstance(model, Mapping)]
    named = dict.fromkeys(name_model(name) for model in models if (name := model_name(model)))
    if named:
        told.append(f"The rows were chosen by what {' and '.join(named)} made of them; others may serve other models.")
    return in_list((*told, *EVERYWHERE))


def _name_source(source: Mapping[str, Any]) -> str:
    name, revision = source.get("id"), source.get("revision")
    if not name:
        return "a dataset whose place is not recorded"
    return repo_link(name, dataset=True, revision=revision) if hub_id(name) else code(short_name(str(name)))


def _quoted(text: Any) -> str:
    """A string as Python and JSON both write it."""
    return as_json(str(text))


def _short(content: Any) -> Any:
    """A cell as JSON can show it."""
    if isinstance(content, str) and len(content) > LONGEST_EXAMPLE:
        return f"{content[:LONGEST_EXAMPLE]}… ({len(content):,} characters)"
    if isinstance(content, Mapping):
        return {name: _short(one) for name, one in content.items()}
    if isinstance(content, (list, tuple)):
        return [_short(one) for one in content[:MOST_ITEMS]]
    if content is None or isinstance(content, (str, bool, int, float)):
        return content
    return f"<{type(content).__name__}>"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else NOTHING
