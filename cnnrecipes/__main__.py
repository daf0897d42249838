"""`python -m cnnrecipes` is the command `cnnrecipes`."""

from cnnrecipes.cli.app import main

main()
