"""Shell completion of commands, options, recipes, keys and values, without importing TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnrecipes.optim.schedule_extension_registry import EXTENSIONS
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.keys_and_defaults import all_keys

CODE = """
import sys
sys.argv[0] = "cnnrecipes"
from cnnrecipes.cli.app import main
try:
    main()
finally:
    assert not {"tensorflow", "keras", "numpy"} & set(sys.modules)
"""


def completions(shell: str, **variables: str) -> list[str]:
    environment = os.environ | {"_CNNRECIPES_COMPLETE": f"complete_{shell}", **variables}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    return done.stdout.splitlines()


def bash(*words: str) -> list[str]:
    """Complete the last word; bash splits words at "="."""
    return completions("bash", COMP_WORDS=" ".join(("cnnrecipes", *words)), COMP_CWORD=str(len(words)))


def test_commands_are_completed():
    assert set(bash("")) >= {"list", "fit", "check-data", "resume-check", "inspect"}
    assert bash("resu") == ["resume", "resume-check"]
    assert {"--quiet", "--verbose", "--data"} <= set(bash("fit", "--"))


@pytest.mark.parametrize("command", ["fit", "show", "show-batch", "plot-schedule", "resume-check", "inspect"])
def test_recipe_names_are_completed(command):
    assert bash(command, "resnet20_") == [name for name in catalog.names() if name.startswith("resnet20_")]


@pytest.mark.parametrize("words", [("fit", "resnet8_digits"), ("show", "mine.toml")])
def test_recipe_keys_are_completed(words):
    assert bash(*words, "data.") == [f"{key}=" for key in all_keys() if key.startswith("data.")]


def test_resume_completes_only_keys_that_may_change():
    keys = [f"{key}=" for key in all_keys() if key.startswith(("devices.", "logging."))]
    assert bash("resume", "runs/one", "") == keys
    assert bash("resume", "runs/one", "devices.on_oom", "=", "h") == ["halve"]


def test_names_of_options_and_experiments_come_from_their_tables():
    assert set(bash("extend", "runs/one", "--schedule", "")) == set(EXTENSIONS)
    assert bash("experiment", "") == ["plain_and_residual", "norms_and_batches"]
    assert bash("check-data", "photos", "--layout", "") == ["auto", "splits", "classes"]


def test_values_are_completed_with_or_without_splitting_at_the_equals_sign():
    assert bash("fit", "x.toml", "model.norm", "=", "gr") == ["group"]
    assert bash("fit", "x.toml", "model.norm", "=")[:2] == ["batch", "layer"]
    assert bash("fit", "x.toml", "model.norm", "=", "group", "model.nor") == ["model.norm=", "model.norm_groups="]
    words = "cnnrecipes fit x.toml model.norm=gr"
    assert completions("fish", _TYPER_COMPLETE_ARGS=words, _TYPER_COMPLETE_FISH_ACTION="get-args") == [
        "model.norm=group"
    ]
    assert '"model.norm=group"' in completions("zsh", _TYPER_COMPLETE_ARGS=words)[0]


def test_installed_script_prints_the_completion_script():
    script = Path(sys.executable).with_name("cnnrecipes")
    environment = os.environ | {"_CNNRECIPES_COMPLETE": "source_bash"}
    done = subprocess.run([script], capture_output=True, text=True, check=False, env=environment)
    assert "complete -o default -F _cnnrecipes_completion cnnrecipes" in done.stdout
    shown = subprocess.run([script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--install-completion" in shown
