"""CLUES between parties: each trains and selects on its own rows, and adapters are all that is merged.

clues(parties, ...)      the whole run in one process
Coordinator, Plan        its side that knows parties by name only, through a Transport
PartyServer              a party's side: answers messages, keeps its rows
messages.py              everything that crosses
"""

from hf_datasel.collaborative.coordinator import Coordinator, Plan
from hf_datasel.collaborative.fedavg import FedAvg
from hf_datasel.collaborative.merging import Merge, merge_adapters
from hf_datasel.collaborative.party import Party, PartyServer
from hf_datasel.collaborative.run import Result, clues
from hf_datasel.collaborative.transport import InProcess, Transport

__all__ = [
    "Coordinator",
    "FedAvg",
    "InProcess",
    "Merge",
    "Party",
    "PartyServer",
    "Plan",
    "Result",
    "Transport",
    "clues",
    "merge_adapters",
]
