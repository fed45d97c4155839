"""Arguments that a Trainer saves beside the model, and pushes with it, without the secrets among them."""

from __future__ import annotations

import copy
from typing import Any, Self

from hf_datasel.hub.scrub import without_secrets


class WithoutSecrets:
    """For a dataclass of arguments: `pickle` leaves out ``hub_token``, and what looks like a secret inside mappings.

    ``transformers`` writes its arguments to ``training_args.bin``, which goes to the Hub with the model. Copies inside
    the process are whole.
    """

    def __getstate__(self) -> dict[str, Any]:
        told = {
            name: without_secrets(value) if isinstance(value, dict) else value for name, value in vars(self).items()
        }
        return {**told, "hub_token": None}

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = memo[id(self)] = object.__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin
