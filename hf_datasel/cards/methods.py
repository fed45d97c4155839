"""What a stranger is told of each method: in a sentence what it keeps, and what it does not promise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hf_datasel.cards.papers import PAPERS
from hf_datasel.cards.text import escape, fence


@dataclass(frozen=True)
class Method:
    """A method in words.

    Args:
        title: its name as its paper writes it.
        summary: which rows it keeps, in one sentence.
        limits: what it does not promise, a sentence each.
    """

    title: str
    summary: str
    limits: tuple[str, ...] = ()


METHODS: dict[str, Method] = {
    "s2l": Method(
        "S2L",
        "Rows are clustered by how their loss moved while a model was trained, and the budget is spread over the "
        "clusters evenly, small ones first.",
        (
            "It diversifies and does not clean: wrong rows whose loss moves in a way of their own fill clusters of "
            "their own, and are then kept more readily, not less.",
            "Inside a cluster the rows are drawn at random: that a row was left out says nothing against it.",
        ),
    ),
    "clues": Method(
        "CLUES",
        "Rows are scored by how well they agree, over training, with trusted rows, by their gradients and what the "
        "settings name beside them; those that pass a threshold, or the best of a budget, are kept.",
        (
            "It cleans and does not diversify: rows that agree with the trusted ones may repeat each other.",
            "What the trusted rows do not cover is likely to be dropped, whether it is right or wrong.",
        ),
    ),
    "shed": Method(
        "SHED",
        "Rows are grouped into clusters, each cluster is valued by what training on its rows is worth to a model (an "
        "estimated Shapley value), and rows are taken by the values of their clusters.",
        (
            "A value is a cluster's: good rows of a poor cluster are dropped with it, bad ones of a good one kept.",
            "Values are estimates, for one model, one metric and one set of validation rows.",
        ),
    ),
    "perplexity": Method(
        "Perplexity",
        "The rows are kept whose answers the model finds likeliest.",
        ("Easy, typical and repeated rows are preferred, and answers that are cut short are hardly noticed.",),
    ),
    "ifd": Method(
        "IFD",
        "The rows are kept whose answers their instructions help least to predict.",
        (
            "An answer that does not belong to its instruction looks hard, too: above 1 it ranks highest unless the "
            "setting `cherry` leaves such rows out.",
        ),
    ),
    "datainf": Method(
        "DataInf",
        "The rows are kept that, by a closed form of the influence function, lower the loss on validation rows most.",
        (
            "The closed form approximates the influence of one row at one checkpoint: it does not see that rows "
            "repeat each other.",
        ),
    ),
    "dsir": Method(
        "DSIR",
        "Rows are drawn so that their hashed n-grams are distributed as those of a target.",
        ("Words are compared, not meaning and not correctness; long texts have large weights, for good and bad.",),
    ),
    "dataset_quantization": Method(
        "Dataset Quantization",
        "Embeddings are put into bins that each are typical and yet diverse, and every bin gives as many rows.",
        ("It spreads what is kept over what the embedder tells apart, and judges no row's correctness.",),
    ),
    "facility_location": Method(
        "Facility location",
        "Rows are taken one after another such that every row is like one that is kept, by their embeddings.",
        ("It spreads what is kept, outliers and wrong rows included, and judges no row's correctness.",),
    ),
    "bm25": Method(
        "BM25",
        "The rows are kept that a search by words for the validation rows finds first.",
        ("Words are compared, not meaning and not correctness, and rows that repeat each other are found together.",),
    ),
    "longest": Method(
        "Longest",
        "The rows with the longest answers are kept.",
        ("A thorough answer is not told from one that rambles, and tasks with short answers lose their rows.",),
    ),
    "least_confidence": Method(
        "Least confidence",
        "The rows are kept whose answers the model finds least likely.",
        ("Wrong answers, and answers to another question, are unlikely, too, and so are preferred.",),
    ),
    "middle_perplexity": Method(
        "Middle perplexity",
        "The rows are kept whose answers are neither the likeliest nor the least likely to the model.",
        ("What is easy is dropped with what is wrong, whether it is needed or not.",),
    ),
    "high_learnability": Method(
        "High learnability",
        "The rows are kept whose loss the training of a model lowered most.",
        ("What was learned by heart, a wrong answer too, was learned.",),
    ),
    "greats": Method(
        "GREATS",
        "Of each batch the rows count whose gradients agree best with that of validation rows.",
        ("What it drops depends on the batch: a row can be left out once and count another time.",),
    ),
    "in_run_shapley": Method(
        "In-Run Data Shapley", "Values come from the gradients of one training run, to first order."
    ),
    "random": Method(
        "Random",
        "A uniform sample, without replacement.",
        ("Wrong and repeated rows are kept in the proportion that they have in the source.",),
    ),
    "full": Method("Full", "Every row that could be chosen was kept.", ("Nothing was left out.",)),
    "oracle": Method(
        "Oracle",
        "The rows are kept that are known to be clean, because the others were damaged on purpose.",
        ("It is the yardstick of an experiment and no method: it knows what nobody knows of other data.",),
    ),
}


def method_of(name: str) -> Method:
    """The method of a selector's name; for one that is not of this package, its name and nothing more."""
    return METHODS.get(name, Method(name, "A method that comes from outside hf_datasel."))


def limits_of(names: Iterable[str]) -> list[str]:
    """What the methods do not promise, each sentence with the method's name, none twice."""
    methods = [method_of(name) for name in dict.fromkeys(names)]
    return [f"{escape(method.title)}: {limit}" for method in methods for limit in method.limits]


def citations(names: Iterable[str]) -> list[str]:
    """A block of BibTeX for each method that has a paper, in order, none twice."""
    found = dict.fromkeys(name for name in names if name in PAPERS)
    return [f"{link_to_paper(name)}:\n\n{fence(PAPERS[name]['citation'], 'bibtex')}" for name in found]


def link_to_paper(name: str) -> str:
    """A method's title, linked to its paper where it has one."""
    title = escape(method_of(name).title)
    return f"[{title}]({PAPERS[name]['url']})" if name in PAPERS else title
