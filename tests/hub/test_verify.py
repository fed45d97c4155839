"""What a published selection says is believed only as far as it can be found again."""

from functools import partial

import numpy as np
import pytest

from hf_datasel.hub.reading import Snapshot
from hf_datasel.hub.verify import check_configs
from hf_datasel.selection import Selection
from hf_datasel.selectors import (
    CLUESSelector,
    DatasetQuantizationSelector,
    IFDSelector,
    RandomSelector,
    S2LSelector,
    SHEDSelector,
)
from tests.hub.published import (
    CARD,
    FILES,
    IDS,
    MANIFEST,
    NUM_ROWS,
    ROWS,
    SCORES,
    SELECTED,
    both_say,
    chosen,
    published,
    set_in,
    verified,
    with_manifest,
    with_rows,
)


@pytest.fixture
def verify(hub, client):
    return partial(verified, hub, client)


@pytest.mark.parametrize(
    "selection",
    [
        chosen(S2LSelector, strata=True, budget=20, num_clusters=4),
        chosen(SHEDSelector, budget=0.3, sampling="qwcs"),
        chosen(IFDSelector, threshold=2.0),
        chosen(DatasetQuantizationSelector, budget=30, num_bins=3, within=chosen(RandomSelector, budget=60)),
    ],
    ids=lambda selection: selection.provenance[-1]["selector"],
)
def test_what_was_published_holds(verify, selection):
    checks = verify(published(ROWS, selection), ok=True)
    names = ["manifest", "configs", "files", "scores", "counts", "ids", "content", "selection"]
    assert [name for name, (held, _) in checks.items() if held] == names
    assert f"chooses the same {len(selection)} rows again" in checks["selection"][1]
    if len(selection.provenance) > 1:
        assert checks["earlier steps"] == [None, "'random' cannot be chosen again: their scores are not published"]


def failed(checks):
    return {name: message for name, (held, message) in checks.items() if held is False}


def swap_kept(columns):
    """One that was kept for one that was not."""
    out, come_in = columns["kept"].index(True), columns["kept"].index(False)
    columns["kept"][out], columns["kept"][come_in] = False, True


def other(name, row, value):
    def change(columns):
        columns[name][row] = value

    return change


def drop(name):
    return lambda columns: columns.pop(name)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**FILES, SELECTED: FILES[SELECTED] + b"x"}, {"files": "not the file that was published"}),
        ({**FILES, SELECTED: b"no parquet"}, {"files": SELECTED, "selected": f"{SELECTED} cannot be read"}),
        ({**FILES, SCORES: b""}, {"files": SCORES, "scores": f"{SCORES} cannot be read"}),
        ({**FILES, SCORES: None}, {"files": f"{SCORES} is missing", "scores": "is missing"}),
        (
            {**FILES, "data/selected-00001-of-00002.parquet": FILES[SELECTED]},
            {"files": "would be loaded, but was not"},
        ),
        ({**FILES, CARD: None}, {"configs": "README.md gives the config 'selected' other files"}),
        ({**FILES, CARD: FILES[CARD].replace(b"data/sel", b"mine/sel")}, {"configs": "the config 'selected' other"}),
        ({**FILES, MANIFEST: b"{"}, {"manifest": "is damaged: it is no JSON"}),
        (with_manifest(FILES, set_in("version", value=2)), {"manifest": "version 2 with row hashes"}),
        (with_manifest(FILES, set_in("row_hash", value="md5")), {"manifest": "row hashes 'md5'"}),
        (with_manifest(FILES, set_in("files", value=[])), {"manifest": "'files' must be a dict, not []"}),
        (with_manifest(FILES, drop("counts")), {"manifest": "'counts' must be a dict, not None"}),
        (with_manifest(FILES, set_in("provenance", 0, "details", value=3)), {"manifest": "a step of the provenance"}),
        (with_manifest(FILES, set_in("seed", value=4)), {"manifest": "says seed 4, its provenance 3"}),
        (with_manifest(FILES, set_in("method", value="shed")), {"manifest": "method 'shed', its provenance 's2l'"}),
        (
            with_manifest(FILES, set_in("counts", "kept", value=21)),
            {"counts": "20 kept rows, where the manifest says 21"},
        ),
        (with_manifest(FILES, set_in("columns", value=["text"])), {"selected": "but ['text'] were published"}),
        (
            with_rows(FILES, SELECTED, other("example_id", 4, 1000)),
            {"ids": "1000 is selected, but scores do not keep"},
        ),
        (with_rows(FILES, SELECTED, other("text", 4, "forged")), {"content": "has other content than its hash says"}),
        (with_rows(FILES, SELECTED, other("tokens", 9, [1, 2, 3])), {"content": "has other content"}),
        (with_rows(FILES, SCORES, other("content_hash", 3, "0" * 31)), {"scores": "not of 32 digits"}),
        (with_rows(FILES, SCORES, swap_kept), {"ids": "kept by scores, but not selected", "selection": "but 's2l'"}),
        (with_rows(FILES, SCORES, other("example_id", 5, 3)), {"scores": "example 3 comes after example 4"}),
        (with_rows(FILES, SCORES, other("candidate", 5, None)), {"scores": "the column 'candidate' has 1 nulls"}),
        (with_rows(FILES, SCORES, other("stratum", 5, None)), {"scores": "the candidate 5 has no stratum"}),
        (with_rows(FILES, SCORES, drop("kept")), {"scores": "'kept' must be of bool, not missing"}),
        (with_rows(FILES, SCORES, drop("cluster")), {"selection": "chooses by clusters, but none were published"}),
        (with_rows(FILES, SCORES, other("cluster", 5, 77)), {"selection": "example 5 is in cluster 77"}),
        (with_manifest(FILES, both_say("seed", 4)), {"selection": "but 's2l'"}),
        (with_manifest(FILES, both_say("num_clusters", 0)), {"selection": "num_clusters=0 of S2LSelector"}),
        (with_manifest(FILES, both_say("budget", "many")), {"selection": "budget='many' is no budget"}),
    ],
)
def test_what_was_changed_is_told(verify, files, expected):
    checks = failed(verify({name: content for name, content in files.items() if content is not None}, ok=False))
    if "configs" in expected or "manifest" in expected or "scores" in expected:
        assert checks.keys() == expected.keys()
    assert expected.keys() <= checks.keys()
    for name, words in expected.items():
        assert words in checks[name]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\nconfigs: [\n---\n", "the metadata of README.md cannot be read"),
        ("---\n- configs\n---\n", "the metadata of README.md cannot be read"),
        ("---\nconfigs: 3\n---\n", "README.md gives the config 'selected' other files"),
        ("---\nconfigs:\n- config_name: [selected]\n---\n", "README.md gives the config 'selected' other files"),
    ],
)
def test_a_card_that_says_nothing_of_use_is_told(card, message):
    class OneFile(Snapshot):
        def text(self, name):
            return {CARD: card}[name]

    check = check_configs(OneFile(api=None, repo_id="me/set", commit="0" * 40, files=(CARD,)))
    assert (check.ok, message in check.message) == (False, True)


def test_who_changes_everything_alike_is_still_told_by_the_choice(verify):
    """Another row in place of one that was kept, in both configs, with the manifest mended."""
    selection = chosen(CLUESSelector, budget=15, score="dot")
    kept = selection.kept.copy()
    kept[[np.flatnonzero(kept)[0], np.flatnonzero(~kept)[0]]] = False, True
    forged = Selection(
        candidate_ids=selection.candidate_ids, kept=kept, scores=selection.scores, provenance=selection.provenance
    )
    checks = verify(published(ROWS, forged), ok=False)
    assert failed(checks).keys() == {"selection"}
    assert checks["selection"][1].count("example") == 2


def test_a_score_that_was_changed_for_the_better_is_told(verify):
    files = published(ROWS, chosen(CLUESSelector, budget=15, score="dot"))
    checks = verify(with_rows(files, SCORES, lambda columns: columns["score"].__setitem__(0, 1e6)), ok=False)
    assert failed(checks) == {"selection": checks["selection"][1]}
    assert "example 0 is left out, but 'clues' keeps it" in checks["selection"][1]


def test_what_cannot_be_chosen_again_is_not_known_and_no_failure(verify):
    step = {"selector": "of_another_package", "config": {"seed": 1}, "num_kept": 30, "num_candidates": NUM_ROWS}
    for provenance, words in (((step,), "'of_another_package' is not known"), ((), "is not recorded")):
        selection = Selection(candidate_ids=IDS, kept=IDS < 30, provenance=provenance)
        held, message = verify(published(ROWS, selection), ok=True)["selection"]
        assert held is None
        assert words in message


def test_what_was_drawn_by_another_numpy_is_said(verify):
    forged = with_manifest(FILES, set_in("provenance", 0, "versions", "numpy", value="1.0"))
    assert verify(forged, ok=True)["selection"][0]
    assert "chosen with numpy 1.0" in verify(with_manifest(forged, both_say("seed", 9)), ok=False)["selection"][1]
