"""Entry point of `python -m cnnrecipes`, the same as the command `cnnrecipes`."""

from cnnrecipes.cli.app import main

main()
