"""Photos with the recipes of cnnrecipes, and with fastai's `fine_tune`, from the same MobileNetV2 weights.

    python benchmarks/photos_beside_fastai.py --data hymenoptera flowers --weights WEIGHTS --torch-python PYTHON

The environment of --torch-python has fastai and torch. A data set is a folder with train/ and test/, each with one
folder per class. Both train on train/ alone (cnnrecipes sets 15% of it aside, to choose by), and are tested on test/ at
the end. Each contender runs in a process of its own, in turn; seconds are those after the imports, from files to tested
model.

fastai is used as its documentation does: images resized to 256, `aug_transforms(size=224)`, batches of 32, its head,
three groups of layers, `fine_tune(epochs)`. Its backbone is MobileNetV2 in PyTorch, with the weights carried over.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import side_by_side

RECIPES = ("features_photos", "finetune_photos", "lora_photos")


def cnnrecipes_round(contender: str, case: dict) -> dict:
    """Train a recipe; return the accuracy on test/ and the seconds."""
    import cnnrecipes as cr

    cr.build("resnet8", input_shape=(8, 8, 1), classes=2)  # imports
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNRECIPES_CACHE"] = folder
        settings = {"model.weights": case["weights"], "data.test": 0.0, "data.validation": 0.15}
        run = cr.fit(contender, case["data"], workdir=folder, progress=False, seed=case["seed"], **settings)
        accuracy = run.metrics["test"]["accuracy"]
    return {"accuracy": accuracy, "seconds": time.perf_counter() - start}


def keras_weights(path: str, alpha: float) -> str:
    """Write the weights of a file in the order of Keras' layers, and the features of two images; return the path."""
    import keras
    import numpy as np

    model = keras.applications.MobileNetV2((224, 224, 3), alpha=alpha, include_top=False, weights=None)
    model.load_weights(path)
    out = Path(tempfile.gettempdir()) / f"mobilenet_v2_{alpha}.npz"
    images = np.random.default_rng(0).uniform(-1, 1, (2, 224, 224, 3)).astype("float32")
    arrays = {f"{i:03}": array for i, array in enumerate(model.get_weights())}
    np.savez(out, images=images, features=model(images).numpy(), **arrays)
    return str(out)


def fastai_round(case: dict) -> dict:
    """Fine-tune with fastai; return the accuracy on test/ and the seconds."""
    import numpy as np
    import torch
    from fastai.vision.all import (
        ImageDataLoaders,
        Learner,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        create_head,
        params,
        set_seed,
    )
    from torch import nn
    from torch_mobilenet import load_keras_weights, mobilenet_v2

    set_seed(case["seed"])
    kept = dict(np.load(case["arrays"]))
    images, features = kept.pop("images"), kept.pop("features")
    start = time.perf_counter()
    body = mobilenet_v2(case["alpha"])
    load_keras_weights(body, iter(kept.values()))
    with torch.no_grad():
        found = body.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    if not np.allclose(found, features, atol=1e-3):
        raise ValueError(f"the features differ from those of Keras by up to {np.abs(found - features).max():.2g}")
    transforms = [*aug_transforms(size=224), Normalize.from_stats([0.5] * 3, [0.5] * 3)]
    loaders = ImageDataLoaders.from_folder(
        case["data"], train="train", valid="test", item_tfms=Resize(256), batch_tfms=transforms, bs=32, num_workers=2
    )
    model = nn.Sequential(body, create_head(1280, loaders.c))
    middle = len(body) // 2
    learner = Learner(
        loaders,
        model,
        metrics=accuracy,
        splitter=lambda m: [params(m[0][:middle]), params(m[0][middle:]), params(m[1])],
    )
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(case["epochs"])
        score = learner.validate()[1]
    return {"accuracy": score, "seconds": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", help="folders with train/ and test/")
    parser.add_argument("--weights", help="weight file of MobileNetV2 without its head")
    parser.add_argument("--alpha", type=float, default=0.35)
    parser.add_argument("--torch-python", help="Python of an environment with torch and fastai")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 4], help="epochs of fastai's fine_tune")
    parser.add_argument("--recipes", nargs="*", default=RECIPES, help="recipes of cnnrecipes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        case = json.loads(options.case)
        print(json.dumps(fastai_round(case) if options.worker == "torch" else cnnrecipes_round(options.worker, case)))
        return
    print(side_by_side.machine(options.rounds))
    shared = {
        "weights": options.weights,
        "alpha": options.alpha,
        "arrays": keras_weights(options.weights, options.alpha),
    }
    print("| data | with | test accuracy, each seed | seconds |\n|---|---|---|---|")
    for data in options.data:
        contenders = [
            *((recipe, {}) for recipe in options.recipes),
            *(("torch", {"epochs": n}) for n in options.epochs),
        ]
        found: dict[str, list[dict]] = {}
        for seed in range(options.rounds):
            for contender, more in contenders:
                case = json.dumps({**shared, "data": data, "seed": seed, **more})
                name = f"fastai fine_tune({more['epochs']})" if more else contender
                found.setdefault(name, []).append(side_by_side.run(__file__, contender, case, options.torch_python))
        for name, rounds in found.items():
            accuracies = ", ".join(f"{one['accuracy']:.1%}" for one in rounds)
            seconds = sorted(one["seconds"] for one in rounds)[len(rounds) // 2]
            print(f"| {Path(data).name} | {name} | {accuracies} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
