"""Calibration of `diagnose`: real trainings that go wrong for a known cause, and the verdicts on them.

    nice python benchmarks/diagnosis.py train --into tests/debug/diagnosis_runs     # resumable: existing files are kept
    python benchmarks/diagnosis.py table                                            # the tables of docs/debugging.md

The thresholds of cnnrecipes/diagnosis/ were set on the runs of the set "calibration" alone; those of the set "held_out"
have other seeds, images, architectures and optimizers. A run is stored as its evidence: history, metrics, and counts of
predictions, with the cause that was put in. Images: digits of scikit-learn (8x8), Fashion-MNIST (Debian's package
dataset-fashion-mnist, averaged to 14x14) and CIFAR-10 (TFDS_DATA_DIR, averaged to 16x16).
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import importlib
import json
import os
import shutil
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnosis_cases import BASE, DEFAULT_MOMENTUM, RIGHT, Case, cases, recipe_of

if TYPE_CHECKING:
    import pandas as pd

    from cnnrecipes.diagnosis.diagnosis import Diagnosis
    from cnnrecipes.diagnosis.evidence import Evidence

FASHION = Path("/usr/share/datasets/fashion-mnist")
UNMEASURED = {"train": None, "validation": None, "reestimated": None}  # predictions, which a training does not have
RUNS = Path(__file__).parents[1] / "tests" / "debug" / "diagnosis_runs"


@cache
def images_and_labels(data: str) -> tuple[np.ndarray, np.ndarray]:
    """All images (N, H, W, C) uint8 of a data set, and their labels."""
    if data == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        return (found.images[..., None] * 255 / 16).astype(np.uint8), found.target
    if data == "fashion":
        images = np.frombuffer(
            gzip.decompress((FASHION / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
        )
        labels = np.frombuffer(
            gzip.decompress((FASHION / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
        )
        images, labels = images.reshape(-1, 28, 28, 1), labels
    else:
        import tensorflow_datasets as tfds

        found = tfds.as_numpy(tfds.load("cifar10", split="train[:40000]", download=False, batch_size=-1))
        images, labels = found["image"], found["label"]
    n, height, width, channels = images.shape
    halved = images.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    return halved.round().astype(np.uint8), labels.astype(int)


def drawn_data(case: Case) -> dict[str, Any]:
    """The data of a case, as `fit` takes them."""
    images, labels = images_and_labels(case.data)
    random = np.random.default_rng(case.seed)
    order = random.permutation(len(labels))
    train, validation = case.images if case.images[0] else BASE[case.data]["images"]
    if case.counts:
        held = case.images[1]
        total = sum(case.counts)
        chosen = [], []
        for label, count in enumerate(case.counts):
            own = order[labels[order] == label]
            after = count + (max(round(held * count / total), 5) if count else 0)
            chosen[0].extend(own[:count])
            chosen[1].extend(own[count:after])
        parts = [random.permutation(part) for part in chosen]
    else:
        parts = [order[:train], order[train : train + validation]]
    present = sorted(set(labels[parts[0]].tolist()))
    truths = [np.searchsorted(present, labels[part]) for part in parts]
    for truth in truths:
        wrong = random.random(len(truth)) < case.noise
        truth[wrong] = random.integers(0, len(present), wrong.sum())
    return {
        **{
            split: (images[part], truth)
            for split, part, truth in zip(("train", "validation"), parts, truths, strict=True)
        },
        "class_names": [f"class {label}" for label in present],
    }


def train(into: Path, only: str) -> None:
    """Train all cases whose file does not exist yet, and write their evidence."""
    from cnnrecipes.errors import Interrupted

    into.mkdir(parents=True, exist_ok=True)
    for name, case in cases().items():
        path = into / f"{name}.json"
        if path.exists() or only not in name:
            continue
        started = time.monotonic()
        try:
            record = trained(case)
        except Interrupted:
            raise
        except Exception as error:  # the other cases go on, and the log names this one
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        seconds = time.monotonic() - started
        document = {"truth": case.truth, "set": case.kept, "seconds": round(seconds, 1), **record}
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(rounded(document), separators=(",", ":")) + "\n")
        beside.replace(path)
        print(f"{name}: {seconds:.0f} s", flush=True)


def trained(case: Case) -> dict[str, Any]:
    """Train a case in a temporary folder, and return the record of its evidence."""
    import keras

    import cnnrecipes as cr
    from cnnrecipes.debug.diagnose import gathered
    from cnnrecipes.errors import Interrupted, TrainingError
    from cnnrecipes.runs.run import Run

    norm = importlib.import_module("cnnrecipes.layers.norm")  # the package has a function of this name
    keys, data = recipe_of(case), drawn_data(case)
    tables: dict[str, Any] = {}
    for key, value in keys.items():
        table, leaf = key.split(".")
        tables.setdefault(table, {})[leaf] = value
    folder = tempfile.mkdtemp(prefix="diagnosis_")
    batch_norm = norm.KINDS["batch"]
    try:
        norm.MOMENTUM = case.momentum
        if case.dead:
            norm.KINDS["batch"] = lambda groups: partial(batch_norm(groups), beta_initializer=partly_dead(case.dead))
        try:
            cr.fit(tables, data, workdir=folder, name="run", progress=False)
        except Interrupted:
            raise
        except TrainingError:  # a NaN is what some cases are for
            pass
        run = Run.open(Path(folder) / "run")
        record = gathered(run, data, measure=True, images=1000)[0].record()
        if case.changes.get("logging.watch"):
            record["watch"] = watched(run)  # of which `layers` is a summary
            record.pop("layers", None)
        return record
    finally:
        norm.MOMENTUM, norm.KINDS["batch"] = DEFAULT_MOMENTUM, batch_norm
        shutil.rmtree(folder)
        keras.utils.clear_session()


def partly_dead(share: float) -> Any:
    """An initializer of offsets (C,), of which a share is so low that relu is 0 for all images."""
    import keras

    @keras.saving.register_keras_serializable(package="diagnosis")
    class PartlyDead(keras.initializers.Initializer):
        def __init__(self, share: float):
            self.share = share

        def __call__(self, shape, dtype=None):
            low = np.arange(shape[0]) < round(self.share * shape[0])
            return keras.ops.convert_to_tensor(np.where(low, -6.0, 0.0), dtype)

        def get_config(self):
            return {"share": self.share}

    return PartlyDead(share)


def watched(run: Any) -> dict[str, Any]:
    """The columns of watch.csv that a diagnosis reads: steps, and each layer's shares of dead channels and updates."""
    table = run.watch()
    steps = sorted(set(table["step"].tolist()))
    table = table.assign(update_ratio=table["update_ratio"].where(table["kind"] == "weighted"))
    layers: dict[str, Any] = {}
    for name, rows in table.drop_duplicates(["step", "layer"], keep="last").groupby("layer", sort=False):
        by_step = rows.set_index("step").reindex(steps)
        values = {column: [float(f"{value:.3g}") for value in by_step[column]] for column in ("dead", "update_ratio")}
        known = {column: found for column, found in values.items() if not np.isnan(found).all()}
        if known:
            layers[str(name)] = {"kind": rows["kind"].iloc[0], **known}
    return {"steps": steps, "layers": layers}


def rounded(value: Any) -> Any:
    """Numbers with five significant digits, to keep the files small."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, (list, tuple)) else value


def evidence_of(record: dict[str, Any]) -> Evidence:
    """The evidence of a stored run, with the layers that its watch saw in the end."""
    from cnnrecipes.diagnosis.evidence import Evidence
    from cnnrecipes.diagnosis.watch_summary import layer_records

    watched = watch_table(record)
    layers = () if watched is None else layer_records(watched)
    return dataclasses.replace(Evidence.of_record(record), layers=layers)


def watch_table(record: dict[str, Any]) -> pd.DataFrame | None:
    """The stored columns of the watch of a run as a table; None if it was not watched."""
    import pandas as pd

    if "watch" not in record:
        return None
    steps, nothing = record["watch"]["steps"], [float("nan")] * len(record["watch"]["steps"])
    parts = [
        pd.DataFrame(
            {
                "step": steps,
                "layer": name,
                "kind": layer["kind"],
                "dead": layer.get("dead", nothing),
                "update_ratio": layer.get("update_ratio", nothing),
                "gradient_norm": nothing,
            }
        )
        for name, layer in record["watch"]["layers"].items()
    ]
    return pd.concat(parts, ignore_index=True)


def named(found: Diagnosis, truth: str) -> str:
    """The verdict; of a run without anything wrong the note that names its cause, if there is one."""
    notes = {one.cause for one in found.findings}
    return truth if found.verdict == "healthy" and truth in notes else found.verdict


def verdicts(folder: Path = RUNS, *, measured: bool = True) -> list[dict[str, Any]]:
    """The verdict on every stored run.

    Args:
        measured: with the predictions of the model; False: from history, metrics and watch alone.
    """
    from cnnrecipes.diagnosis.diagnosis import diagnosed

    found = []
    for name, record in stored(folder):
        evidence = evidence_of(record)
        if not measured:
            evidence = dataclasses.replace(evidence, training_images=None, **UNMEASURED)
        verdict = named(diagnosed(evidence), record["truth"])
        right = verdict in RIGHT[record["truth"]]
        found.append({"name": name, "set": record["set"], "truth": record["truth"], "verdict": verdict, "right": right})
    return found


def live_verdicts(folder: Path = RUNS) -> list[dict[str, Any]]:
    """What `fit` would have told of every stored run: replayed from its history and the records of its watch.

    `half` is the verdict that was told in the first half of the epochs ("healthy": none was), `lines` all that were
    told before the last epoch, and `end` the verdict of the closing sentence.
    """
    from cnnrecipes.diagnosis.diagnosis import diagnosed
    from cnnrecipes.diagnosis.told_verdict import ToldVerdict

    found = []
    for name, record in stored(folder):
        told, half, lines = ToldVerdict(), "healthy", []
        epochs = len(record["history"])
        for epoch in range(1, epochs):
            diagnosis = diagnosed(after(record, epoch))
            if told.changes(diagnosis):
                lines.append(diagnosis.verdict)
            if epoch <= epochs / 2:
                half = told.told
        end = in_training(evidence_of(record))
        verdict = named(diagnosed(end), record["truth"])
        found.append(
            {"name": name, "set": record["set"], "truth": record["truth"], "half": half, "lines": lines, "end": verdict}
        )
    return found


def after(record: dict[str, Any], epoch: int) -> Evidence:
    """The evidence that a training had of itself after an epoch, from 1."""
    from cnnrecipes.diagnosis.evidence import Evidence
    from cnnrecipes.diagnosis.watch_summary import layer_records

    epochs, watched, layers = len(record["history"]), watch_table(record), ()
    if watched is not None:
        steps = round((watched["step"].max() + 1) * epoch / epochs)
        layers = layer_records(watched[watched["step"] < steps], steps)
    evidence = Evidence.of_record({**record, "history": record["history"][:epoch]})
    return in_training(evidence, running=True, failure=None, stopped=None, layers=layers)


def in_training(evidence: Evidence, **changes: Any) -> Evidence:
    """The evidence that a training has of itself: no predictions, but the classes of its validation images."""
    counts, share = evidence.training_images, evidence.validation_majority
    if counts and evidence.validation is not None:
        share = evidence.validation.images[int(np.argmax(counts))] / evidence.validation.n
    return dataclasses.replace(evidence, validation_majority=share, **changes, **UNMEASURED)


def stored(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The stored runs by name."""
    return [(path.stem, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def table(rows: list[dict[str, Any]]) -> str:
    """The confusion table as Markdown: a row a cause, with the number of runs for each verdict."""
    lines = ["| cause | runs | right | verdicts |", "|---|---|---|---|"]
    for truth in RIGHT:
        own = [row for row in rows if row["truth"] == truth]
        if not own:
            continue
        counts: dict[str, int] = {}
        for row in own:
            counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
        shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
        lines.append(f"| {truth} | {len(own)} | {sum(row['right'] for row in own)} | {shown} |")
    right = sum(row["right"] for row in rows)
    lines.append(f"| **all** | {len(rows)} | **{right}** ({right / max(len(rows), 1):.0%}) | |")
    return "\n".join(lines)


def live_table(rows: list[dict[str, Any]]) -> str:
    """The verdicts of `live_verdicts` as Markdown: at half of the epochs, and in the closing sentence."""
    lines = [
        "| cause | runs | told by half: right | another cause | nothing | closing sentence right |",
        "|---" * 6 + "|",
    ]
    sums = np.zeros(5, int)
    for truth in RIGHT:
        own = [row for row in rows if row["truth"] == truth]
        if not own:
            continue
        right = sum(row["half"] in RIGHT[truth] and row["half"] != "healthy" for row in own)
        silent = sum(row["half"] == "healthy" for row in own)
        counts = [len(own), right, len(own) - right - silent, silent, sum(row["end"] in RIGHT[truth] for row in own)]
        sums += counts
        lines.append(f"| {truth} | {' | '.join(map(str, counts))} |")
    lines.append(f"| **all** | {' | '.join(map(str, sums))} |")
    return "\n".join(lines)


def print_tables(folder: Path, wrong: bool) -> None:
    """Print the tables of both sets, with and without predictions of the model."""
    for kept in ("calibration", "held_out"):
        for measured in (True, False):
            rows = [row for row in verdicts(folder, measured=measured) if row["set"] == kept]
            print(f"\n{kept}, {'with' if measured else 'without'} predictions of the model\n\n{table(rows)}")
            if wrong:
                print("\n".join(f"  {row['name']}: {row['verdict']}" for row in rows if not row["right"]))
        live = [row for row in live_verdicts(folder) if row["set"] == kept]
        print(f"\n{kept}, live\n\n{live_table(live)}")
        alarms = [row for row in live if row["truth"] == "healthy" and row["lines"]]
        print(f"\nhealthy runs with a false alarm before their last epoch: {len(alarms)}")
        if wrong:
            print("\n".join(f"  {row['name']}: {row['lines']}, closing {row['end']}" for row in live))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["train", "table"])
    parser.add_argument("--into", type=Path, default=RUNS)
    parser.add_argument("--only", default="", help="train only cases whose name contains this")
    parser.add_argument("--wrong", action="store_true", help="list the runs with a wrong verdict")
    options = parser.parse_args()
    if options.command == "train":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        train(options.into, options.only)
    else:
        print_tables(options.into, options.wrong)


if __name__ == "__main__":
    main()
