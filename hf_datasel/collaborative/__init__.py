"""CLUES between parties: each trains and selects on its own rows, and adapters are all that is merged."""
