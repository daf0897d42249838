"""The input pipeline: cnnrecipes beside Keras' layers, per-image tf.image and Pillow, in images a second.

    python benchmarks/pipeline.py --photos hymenoptera_data/train

The folder has one sub-folder of photos a class. Each contender runs in a process of its own, in turn, several rounds;
printed are medians. All decode and augment on all cores.

The cases:
    photos          decode JPEG files, random resized crop to 224, batches of 32
                    pillow: as many processes as cores; keras: image_dataset_from_directory to 256, then RandomCrop
    kept photos     the same photos resized to 224 and cropped in the middle, from the second epoch on
                    uncached: cnnrecipes without data.cache
    kept crops      random resized crops to 224 of decoded photos that were kept
                    uncached: cnnrecipes without data.cache
    flip + jitter   RandomFlip and RandomColorJitter (brightness, contrast, saturation, hue) on 32 x 224 x 224
    rand_augment    RandAugment of 2 operations on 32 x 224 x 224
    aug_mix         AugMix of 3 chains of up to 3 operations on 32 x 224 x 224
    cifar           pad_crop(4), flip_lr, cutout(8) on 50,000 images of 32 x 32, batches of 512
                    tf.image: shuffle, then a map over single images with tf.image's operations
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import side_by_side

CASES = {
    "photos": ("cnnrecipes", "pillow", "keras"),
    "kept photos": ("cnnrecipes", "uncached"),
    "kept crops": ("cnnrecipes", "uncached"),
    "flip + jitter": ("cnnrecipes", "keras"),
    "rand_augment": ("cnnrecipes", "keras"),
    "aug_mix": ("cnnrecipes", "keras"),
    "cifar": ("cnnrecipes", "tf.image"),
}
FOLDER = "CNNRECIPES_BENCHMARK_PHOTOS"
SIZE, BATCH, CIFAR_BATCH = 224, 32, 512


def photos(contender: str) -> Iterable[int]:
    if contender == "pillow":
        files = [str(file) for file in Path(os.environ[FOLDER]).rglob("*.jp*g")] * 8
        pool = multiprocessing.Pool(os.cpu_count())
        yield from (
            BATCH
            for _ in pool.imap_unordered(pillow_batch, [files[i : i + BATCH] for i in range(0, len(files), BATCH)])
        )
    elif contender == "keras":
        import keras
        import tensorflow as tf

        folder = os.environ[FOLDER]
        dataset = keras.utils.image_dataset_from_directory(folder, image_size=(256, 256), batch_size=BATCH, verbose=0)
        crop = keras.layers.RandomCrop(SIZE, SIZE)
        dataset = dataset.repeat().map(lambda images, labels: crop(images, training=True), tf.data.AUTOTUNE)
        yield from (len(images) for images in dataset.prefetch(tf.data.AUTOTUNE))
    else:
        yield from training({"augment.ops": ["random_resized_crop"]})


def pillow_batch(files: list[str]) -> None:
    """Random resized crops of these files, as torchvision draws them."""
    import numpy as np
    from PIL import Image

    crops = []
    for file in files:
        image = Image.open(file).convert("RGB")
        area = image.width * image.height * random.uniform(0.08, 1)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = min(round((area * ratio) ** 0.5), image.width), min(round((area / ratio) ** 0.5), image.height)
        left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
        box = (left, top, left + width, top + height)
        crops.append(np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)))
    np.stack(crops)


def training(changes: dict, data: object = None, batch: int = BATCH, size: int = SIZE) -> Iterable[int]:
    """Batches of a training of cnnrecipes."""
    from cnnrecipes.data import batching
    from cnnrecipes.data.sources.opening import open_source
    from cnnrecipes.data.standardize import Statistics
    from cnnrecipes.recipe import catalog

    fixed = {"data.image_size": size, "data.batch_size": batch, "data.validation": 0.0, "train.epochs": 10_000}
    recipe = catalog.load("photos_from_scratch").change(**fixed, **changes)
    source = open_source(os.environ[FOLDER] if data is None else data, recipe.data)
    mean = Statistics((120.0,) * 3, (60.0,) * 3)
    batches = batching.training_batches(source.split("train"), recipe, mean, len(source.class_names))
    yield from (len(images) for images, _ in batches)


def kept_photos(contender: str) -> Iterable[int]:
    yield from training({"augment.ops": [], "data.cache": "none" if contender == "uncached" else "memory"})


def kept_crops(contender: str) -> Iterable[int]:
    cache = "none" if contender == "uncached" else "memory"
    yield from training({"augment.ops": ["random_resized_crop"], "data.cache": cache})


def on_batches(ours: list[str], layers: Callable, contender: str) -> Iterable[int]:
    """One batch of noise, augmented over and over."""
    import numpy as np
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8))
    if contender == "keras":
        import keras

        def augment(i):
            values = tf.cast(images, tf.float32)
            for layer in made:
                values = layer(values, training=True)
            return values

        made = layers(keras.layers)
    else:
        from cnnrecipes.augment.apply import augment as augment_batch
        from cnnrecipes.augment.operation import parse_list

        def augment(i):
            what = {"seed": 0, "epoch": i, "index": tf.range(BATCH), "mean": (120.0,) * 3}
            return augment_batch(images, ops, **what)

        ops = parse_list(ours)
    # Mapped as in a pipeline: on all cores, and with the batch as an element, or it would be taken for a constant.
    batches = tf.data.Dataset.range(10**9).map(augment, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    if contender == "cnnrecipes":
        from cnnrecipes.data.tf_data_defaults import without_autotuning

        batches = without_autotuning(batches)  # as in a training
    for _ in batches:
        yield BATCH


def flip_and_jitter(contender: str) -> Iterable[int]:
    def layers(kinds):
        factors = dict.fromkeys(("brightness_factor", "contrast_factor", "saturation_factor"), 0.4)
        jitter = kinds.RandomColorJitter(value_range=(0, 255), hue_factor=0.1, **factors)
        return [kinds.RandomFlip("horizontal"), jitter]

    yield from on_batches(["flip_lr", "color_jitter(0.4, 0.4, 0.4, 0.1)"], layers, contender)


def rand_augment(contender: str) -> Iterable[int]:
    yield from on_batches(
        ["rand_augment(2, 9)"], lambda kinds: [kinds.RandAugment(value_range=(0, 255), num_ops=2)], contender
    )


def aug_mix(contender: str) -> Iterable[int]:
    yield from on_batches(["aug_mix"], lambda kinds: [kinds.AugMix(value_range=(0, 255))], contender)


def cifar(contender: str) -> Iterable[int]:
    import numpy as np
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(50_000) % 10
    if contender == "cnnrecipes":
        yield from training({"augment.ops": ["pad_crop(4)", "flip_lr", "cutout(8)"]}, (images, labels), CIFAR_BATCH, 32)
        return

    def augment(image, label):
        image = tf.image.random_crop(tf.image.pad_to_bounding_box(image, 4, 4, 40, 40), (32, 32, 3))
        image = tf.image.random_flip_left_right(image)
        row, column = (tf.random.uniform((), 0, 32, tf.int32) - 4 for _ in range(2))
        at = tf.range(32)
        rows, columns = (at >= row) & (at < row + 8), (at >= column) & (at < column + 8)
        covered = rows[:, None, None] & columns[None, :, None]
        return tf.where(covered, tf.constant(120, tf.uint8), image), tf.one_hot(label, 10)

    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(50_000).repeat()
    dataset = dataset.map(augment, tf.data.AUTOTUNE).batch(CIFAR_BATCH).prefetch(tf.data.AUTOTUNE)
    yield from (len(some) for some, _ in dataset)


def measure(batches: Iterable[int], seconds: float) -> float:
    """Images a second, from the first batch on and after a third of the time for warming up."""
    images, first, since = 0, None, None
    for count in batches:
        now = time.perf_counter()
        first = first or now
        if since is not None:
            images += count
        elif now - first > seconds / 3:
            since = now
        if since is not None and now - since > seconds:
            break
    return images / (time.perf_counter() - since)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", help="a folder with one sub-folder of photos a class")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="that a contender is measured in a round")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        side_by_side.import_for("cnnrecipes" if options.worker in ("cnnrecipes", "uncached") else "keras")
        batches = globals()[options.case.replace(" + ", "_and_").replace(" ", "_")](options.worker)
        print(json.dumps(measure(batches, float(os.environ["CNNRECIPES_BENCHMARK_SECONDS"]))), flush=True)
        os._exit(0)  # without waiting for pools and prefetched batches
    if options.photos:
        os.environ[FOLDER] = str(Path(options.photos).resolve())
    elif any("photos" in case or "crops" in case for case in options.cases):
        sys.exit("these cases need photos: give --photos FOLDER")
    os.environ["CNNRECIPES_BENCHMARK_SECONDS"] = str(options.seconds)
    print(side_by_side.machine(options.rounds) + "\n")
    print("| case | cnnrecipes, images/s | beside | images/s | ours / theirs |\n|---|---|---|---|---|")
    for case in options.cases:
        rates: dict[str, list[float]] = {contender: [] for contender in CASES[case]}
        for _ in range(options.rounds):
            for contender, found in rates.items():
                found.append(side_by_side.run(__file__, contender, case, None))
        ours, *others = ((contender, statistics.median(found)) for contender, found in rates.items())
        for name, rate in others:
            print(f"| {case} | {ours[1]:,.0f} | {name} | {rate:,.0f} | {ours[1] / rate:.2f} |", flush=True)


if __name__ == "__main__":
    main()
