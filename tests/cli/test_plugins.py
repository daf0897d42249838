"""Plugins on the command line: modules that CNNRECIPES_PLUGINS lists, and errors of one line for those that fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

OPERATION = """
from cnnrecipes.augment.operation import Operation, operation
from cnnrecipes.recipe.schema import Recipe

@operation("invert_all")
class InvertAll(Operation):
    '''Invert every image.'''

    def apply(self, images, draws, mean):
        return 255 - images
"""
ARCHITECTURE = """
import cnnrecipes as cr
from cnnrecipes import layers
from cnnrecipes.models import CIFAR, Architecture, register

def features(x, spec, factories):
    for s, width in enumerate(spec.widths, start=1):
        x = layers.conv_norm_act(x, width, stride=2, factories=factories, name=f"stage{s}")
    return x

register("two_stages", Architecture(features=features, options={"widths": (4, 8)}, source="unpublished", setting=CIFAR))
"""
NEEDS_NO_NAMES = (["list"], ["schema"], ["--help"], ["show", "--help"])


@pytest.fixture
def command(tmp_path):
    """Run the command line in a folder with modules, some of them plugins."""

    def run(*arguments: str, plugins: str, **modules: str) -> subprocess.CompletedProcess:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = {**os.environ, "CNNRECIPES_PLUGINS": plugins, "PYTHONPATH": path}
        program = [sys.executable, "-m", "cnnrecipes", *arguments]
        return subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("arguments", [*NEEDS_NO_NAMES, ["show", "resnet8_digits"]], ids=" ".join)
def test_missing_plugin_does_not_matter_where_no_name_of_it_is_needed(command, arguments):
    done = command(*arguments, plugins="no_such")
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "resnet8_digits", 'augment.ops=["invert_all"]'],
        ["check-data", "digits"],
        ["inspect", "two_stages"],
        ["fit", "resnet8_digits"],
    ],
    ids=" ".join,
)
def test_missing_plugin_is_an_error_of_one_line(run_cli, monkeypatch, arguments):
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "no_such")
    status, _, stderr = run_cli(*arguments)
    assert status == 2
    assert stderr.splitlines()[-1].startswith("cnnrecipes: cannot import the module 'no_such' of CNNRECIPES_PLUGINS")
    assert "Traceback" not in stderr
    assert "validation error" not in stderr


def test_failing_plugin_is_an_error_of_one_line(command):
    done = command("show", "resnet8_digits", "train.loss=mine", plugins="broken", broken="int('four')")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("cnnrecipes: cannot import the module 'broken' of CNNRECIPES_PLUGINS: ValueError: invalid")


def test_plugin_may_import_the_recipe(command):
    change = 'augment.ops=["invert_all"]'
    done = command("show", "resnet8_digits", change, plugins="mine", mine=OPERATION)
    assert done.returncode == 0, done.stderr
    assert "invert_all" in done.stdout


def test_plugin_with_an_operation_and_an_architecture_is_trained(command):
    changes = ["model.name=two_stages", 'augment.ops=["invert_all"]', "train.epochs=1", "model.widths=[4, 8]"]
    changes += ["logging.loggers=[]", "logging.report=off"]
    done = command("fit", "resnet8_digits", *changes, "--quiet", plugins="mine", mine=OPERATION + ARCHITECTURE)
    assert done.returncode == 0, done.stderr
    run = done.stdout.splitlines()[-1]
    shown = command("evaluate", run, "--json", plugins="mine")
    assert shown.returncode == 0, shown.stderr
