"""As `kill_and_resume`, of a stage with two links: one run is killed again and again, and goes on each time.

``python kill_a_chain.py FOLDER chain`` leaves ``FOLDER/whole`` and ``FOLDER/killed``.
"""

from __future__ import annotations

from hf_datasel import Selection
from hf_datasel.training import stage
from hf_datasel.training.probe import Probe
from tests.training.scripts.kill_and_resume import GROUPS, kill_at, main, select

KILLS = [
    kill_at(Probe, "_score", 2),  # in the first link
    kill_at(stage.SelectionStage, "_record", 1, after=True),  # between the links
    kill_at(Probe, "sweep", 2, after=True),  # in the second link
    kill_at(stage, "save_trainable", 1),  # before the weights that go with it
    kill_at(Selection, "save", 1),
]

if __name__ == "__main__":
    short = {"num_train_epochs": 1, "proxy_training_args": {"save_steps": 3, "num_train_epochs": 1}}
    GROUPS["chain"] = (
        lambda folder: select(folder, selection_method="ifd:18,s2l", selection_continue=True, **short),
        {"killed": KILLS},
    )
    main()
