"""The command line as ``python -m spikefold``, which ``torchrun -m spikefold`` starts."""

from spikefold.cli import main

if __name__ == "__main__":
    main()
