"""`python -m hf_datasel` and `accelerate launch -m hf_datasel` run the command line."""

import sys

from hf_datasel.cli import main

if __name__ == "__main__":
    sys.exit(main())
