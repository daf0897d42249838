"""`python -m cnnrecipes` is the command `cnnrecipes`."""

from cnnrecipes.cli import main

main()
