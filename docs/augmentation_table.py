"""Write docs/augmentation.md from the operations: run `python docs/augmentation_table.py` after changing one."""

from __future__ import annotations

from pathlib import Path

from cnnrecipes.augment.operations import OPERATIONS, Framing, Mix, Operation
from cnnrecipes.augment.views import VIEWS

HEAD = """# Augmentation and views

`augment.ops` in a recipe is a list of operations, done in order; values are as in Python. This page is written by
`make augmentation-table`.

```toml
[augment]
ops = ["random_resized_crop(scale=[0.35, 1])", "flip_lr", "rand_augment(2, magnitude=9)", "mixup(0.2)", "cutmix"]
repeats = 1        # how often an image stands in a batch, each time augmented otherwise
device = "auto"    # "host": ahead of the training step; "accelerator": in it; "auto": in it where there is a GPU
```

Every image has its own draws, a function of (seed, epoch, example): the same whatever the batch around it, the threads
or the device, and after a resume. Operations take and give whole numbers 0..255; brightness, contrast, saturation,
sharpness, autocontrast, equalize, posterize, solarize and grayscale are Pillow's to the last bit. `fill` is the mean
colour of the training split where nothing else is said.

`cnnrecipes show-batch RECIPE --data photos/ --per-op` draws what each of them does to your images; this is
`cnnrecipes show-batch resnet20_photos --data hymenoptera_data data.image_size=128 --per-op augment.ops=[...]`:

![operations that move and cover](pictures/augmentation_moves.png)
![operations on values, policies and mixes](pictures/augmentation_values.png)

| operation | what it does |
|---|---|
"""
VIEW_HEAD = """
An operation that frames (`random_resized_crop`, `random_crop`) stands first: it is done while the image is read, and
of a JPEG no more than the chosen part is decoded. Without one an image is resized and cropped in the middle, as for
validation.
A mix stands last; where both do, each image draws one of them. Images are mixed with their neighbour in the batch,
the last three of an odd batch in a circle; an image that is a batch alone stays as it is.
With mixes the training accuracy is against the larger share.

## Views: test-time augmentation

`cnnrecipes evaluate RUN --tta flip_lr --tta "shift(2)"`, `run.evaluate(tta=["flip_lr", "shift(2)"])`, and the same for
`predict`: the model sees several views of an image, and what it says of them is averaged, as probabilities or
(`average="logits"`) as logits. `evaluate` prints the accuracy with and without.

| view | what it shows |
|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + _rows(OPERATIONS) + VIEW_HEAD + _rows(VIEWS)


def _rows(known: dict[str, type[Operation]]) -> str:
    return "".join(f"| `{name}{_parameters(op)}` | {_summary(op)} |\n" for name, op in known.items())


def _parameters(op: type[Operation]) -> str:
    """The parameters with their defaults, as they are written."""
    fields = op.model_fields.items()
    if issubclass(op, Framing):
        fields = [(key, field) for key, field in fields if key != "size"]
    values = (f"{key}={_value(field.default)}" for key, field in fields if field.default is not None)
    text = ", ".join(values)
    return f"({text})" if text else ""


def _value(default: object) -> str:
    if isinstance(default, tuple):
        return f"[{', '.join(f'{number:.4g}' for number in default)}]"
    return f'"{default}"' if isinstance(default, str) else str(default)


def _summary(op: type[Operation]) -> str:
    kind = "Mixes: " if issubclass(op, Mix) else "Frames: " if issubclass(op, Framing) else ""
    text = " ".join(op.__doc__.split())
    return kind + (text[:1].lower() + text[1:] if kind else text)


if __name__ == "__main__":
    (Path(__file__).parent / "augmentation.md").write_text(page(), encoding="utf-8")
