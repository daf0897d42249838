"""A new command is one file in cnnrecipes/cli/, or a function of another package with an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys

MODULE = '''
"""Commands of a test."""
from __future__ import annotations

from cnnrecipes.cli.options import JsonOption
from cnnrecipes.cli.output import print_json
from cnnrecipes.cli.command_registry import command


@command("count-words", group="Extras")
def count_words(text: str, quiet: bool = False, as_json: JsonOption = False) -> None:
    """Count the words of a text."""
    print("counting")
    print_json({"words": len(text.split()), "quiet": quiet})
'''
FUNCTION = '''
def say_hello(name: str) -> None:
    """Greet somebody."""
    print(f"hello {name}")
'''


def run(*arguments, path=None, code="from cnnrecipes.cli.app import main; main()"):
    environment = os.environ | ({"PYTHONPATH": f"{path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"} if path else {})
    program = [sys.executable, "-c", code, *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, env=environment)


def run_with_file(folder, *arguments):
    """Run the command line with the folder's modules as part of cnnrecipes/cli/."""
    code = f"import cnnrecipes.cli as cli; cli.__path__.append({str(folder)!r}); "
    return run(*arguments, code=code + "from cnnrecipes.cli.app import main; main()")


def test_command_is_added_by_one_file(tmp_path):
    (tmp_path / "extras.py").write_text(MODULE)
    shown = run_with_file(tmp_path, "--help").stdout
    assert shown.index("Recipes") < shown.index("Experiments and checks") < shown.index("Extras")
    assert "Count the words of a text." in shown
    for arguments in (["count-words", "a b c", "--json", "-q"], ["--quiet", "count-words", "--json", "a b c"]):
        done = run_with_file(tmp_path, *arguments)
        assert json.loads(done.stdout) == {"words": 3, "quiet": True}
        assert done.stderr == "counting\n"


def test_command_is_added_by_an_entry_point(tmp_path):
    (tmp_path / "greeting.py").write_text(FUNCTION)
    package = tmp_path / "greeting-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    lines = ["hello = greeting:say_hello", "list = greeting:say_hello", "broken = nowhere:function"]
    (package / "entry_points.txt").write_text("\n".join(["[cnnrecipes.commands]", *lines, ""]))
    done = run("hello", "world", path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "hello world\n")
    broken, taken = sorted(done.stderr.splitlines())
    assert "'broken' of greeting: No module named 'nowhere'" in broken
    assert "'list' of greeting: a command of this name exists already" in taken
    assert "resnet8_digits" in run("list", path=tmp_path).stdout
