"""Write docs/augmentation.md from the registered operations and views: run `make augmentation-table` after a change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cnnrecipes.augment.operation import OPERATIONS, CropWhileDecoding, Mix
from cnnrecipes.augment.tta_views import VIEWS
from cnnrecipes.syntax.call_syntax import Call, signature

HEAD = """# Data augmentation and test-time augmentation

`augment.ops` in a recipe is a list of operations, applied in order; values are Python literals. This page is generated
by `make augmentation-table`.

```toml
[augment]
ops = ["random_resized_crop(scale=[0.35, 1])", "flip_lr", "rand_augment(2, magnitude=9)", "mixup(0.2)", "cutmix"]
repeats = 1        # copies of an image in a batch, each augmented independently
device = "auto"    # "host": in the input pipeline; "accelerator": in the training step, which "auto" selects on a GPU
```

The random draws of an image are a function of (seed, epoch, example): they do not depend on the rest of the batch, the
number of threads or the device, and are the same after a resume. Operations map uint8 values 0..255 to uint8 values;
brightness, contrast, saturation, sharpness, autocontrast, equalize, posterize, solarize and grayscale are bit-exact
with Pillow. `fill` is a gray value, or `"mean"`: the mean color of the training split.

`cnnrecipes show-batch RECIPE --data photos/ --per-op` plots the effect of each operation on your images; this is
`cnnrecipes show-batch photos_from_scratch --data hymenoptera_data data.image_size=128 --per-op augment.ops=[...]`:

![geometric operations and erasing](pictures/augmentation_moves.png)
![operations on values, policies and mixing](pictures/augmentation_values.png)

| operation | effect |
|---|---|
"""
VIEW_HEAD = """
An operation that crops while decoding (`random_resized_crop`, `random_crop`) must be the first; only the crop of a JPEG
is decoded. Without such an operation, images are resized and center-cropped as in validation.

Rotations, shears, translations, lookup tables (`equalize`, `autocontrast`) and the mixture of `aug_mix` are kernels
compiled by XLA at the first batch, once for each image size (up to 0.5 s each), also with `train.xla = false`. They
compute with integers: positions are rounded to 1/256 pixel. `aug_mix` composes consecutive geometric transformations
of a chain and interpolates once.

Mixing operations must be the last; if there are several, one of them is drawn for each image. Images are mixed with
their neighbor in the batch (the last three of an odd batch cyclically); a batch of one image is unchanged. With mixing,
the training accuracy is measured against the label with the larger weight.

## Custom operation

```python
# my_ops.py
import tensorflow as tf

from cnnrecipes.augment.operation import Operation, operation


@operation("channel_swap")
class ChannelSwap(Operation):
    \"\"\"Exchange red and blue with `probability`.\"\"\"

    probability: float = 0.5

    def apply(self, images, draws, mean):
        \"\"\"images (N, H, W, C) uint8, draws (N, 1) uniform in [0, 1) -> (N, H, W, C) uint8.\"\"\"
        return tf.where(draws[:, 0, None, None, None] < self.probability, images[..., ::-1], images)
```

After `import my_ops`, a recipe can use `augment.ops = ["channel_swap(0.3)"]`. For the command line, list such modules
in an environment variable, separated by commas: `CNNRECIPES_PLUGINS=my_ops PYTHONPATH=. cnnrecipes show-batch ...`.
An operation that takes k random numbers per image sets `draws = k`.

## Test-time augmentation: views

`cnnrecipes evaluate RUN --tta flip_lr --tta "shift(2)"`, `run.evaluate(tta=["flip_lr", "shift(2)"])`, and the same for
`predict`: the predictions for several views of an image are averaged, as probabilities or (`average="logits"`) as
logits. `evaluate` prints the accuracy with and without views.

| view | images |
|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + _rows(dict(sorted(OPERATIONS.items(), key=_place))) + VIEW_HEAD + _rows(VIEWS)


def _place(item: tuple[str, type[Call]]) -> tuple[bool, bool, str]:
    """Sort key: crops while decoding first, mixing last, and by module in between."""
    _, op = item
    return not issubclass(op, CropWhileDecoding), issubclass(op, Mix), op.__module__


def _rows(known: Mapping[str, type[Call]]) -> str:
    return "".join(f"| `{name}{signature(call)}` | {_summary(call)} |\n" for name, call in known.items())


def _summary(call: type[Call]) -> str:
    """Return the first paragraph of the docstring, after "While decoding: " or "Mixing: " where it applies."""
    kind = "Mixing: " if issubclass(call, Mix) else "While decoding: " if issubclass(call, CropWhileDecoding) else ""
    text = " ".join(call.__doc__.partition("\n\n")[0].split())
    return kind + (text[:1].lower() + text[1:] if kind else text)


if __name__ == "__main__":
    (Path(__file__).parent / "augmentation.md").write_text(page(), encoding="utf-8")
