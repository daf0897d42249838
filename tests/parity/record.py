"""Record PyTorch's outputs and gradients, for tests that run without PyTorch. Run by hand after a change of cases.py:

    pip install torch==2.13.0          # in a separate environment
    python tests/parity/record.py

Computes in float64: where an activation is nearly 0, float32 may fall on either side of a ReLU's kink, and in deep nets
the gradients of two correct programs then differ by several percent. Weights, images and directions come from
numbers_of.py, identical on both sides. Recorded are the outputs; the gradient, with respect to the images, of their
product with a random direction (every 7th value); and for each weight the norm of its gradient and the product of the
gradient with a direction.
"""

from __future__ import annotations

import json
from pathlib import Path

import cases
import numbers_of as numbers
import numpy as np
import torch
import torch_nets

VALUES = Path(__file__).with_name("values")


def net(kind: str, options: dict) -> torch.nn.Module:
    if kind == "ResNet":
        return torch_nets.ResNet(**options)
    return torch_nets.alexnet(**options) if kind == "alexnet" else torch_nets.vgg(**cases.VGG11, **options)


def part(kind: str, inputs: int, width: int, stride: int) -> torch.nn.Module:
    if kind.startswith("conv"):
        return torch_nets.conv(inputs, width, int(kind[4:]), stride)
    if kind == "max_pool":
        return torch.nn.MaxPool2d(3, stride, 1)
    if kind in ("basic", "bottleneck"):
        bottleneck = kind == "bottleneck"
        return torch_nets.Block(inputs, width, stride, torch.nn.BatchNorm2d, bottleneck=bottleneck, inner=width // 4)
    return torch_nets.norm_of(kind)(inputs)


def measure(name: str, module: torch.nn.Module, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Outputs and gradients in both modes; `shape` is (N, C, H, W)."""
    shapes = {key: tuple(v.shape) for key, v in module.state_dict().items() if "num_batches" not in key}
    directions = numbers.directions(shapes)
    module.double()
    recorded = {"shapes": np.array(json.dumps(shapes))}
    for mode in ("eval", "train"):
        weights = {key: torch.from_numpy(value).double() for key, value in numbers.weights(shapes).items()}
        module.load_state_dict(weights, strict=False)
        module.train(mode == "train")
        images = torch.from_numpy(numbers.draw(f"images of {name}", shape)).double().requires_grad_()
        outputs = module(images)
        (outputs * torch.from_numpy(numbers.draw(f"outputs of {name}", tuple(outputs.shape)))).sum().backward()
        recorded[f"{mode}_outputs"] = outputs.detach().float().numpy()
        recorded[f"{mode}_images"] = images.grad.float().numpy().ravel()[::7]
        gradients = {key: p.grad.numpy().astype("float64") for key, p in module.named_parameters()}
        recorded[f"{mode}_norms"] = np.array([np.linalg.norm(g) for g in gradients.values()])
        recorded[f"{mode}_products"] = np.array([(g * directions[key]).sum() for key, g in gradients.items()])
        recorded["names"] = np.array(list(gradients))
        module.zero_grad()
    return recorded


def main() -> None:
    VALUES.mkdir(exist_ok=True)
    for name, (_, pixels, (kind, options)) in cases.NETS.items():
        np.savez_compressed(
            VALUES / f"{name}.npz", **measure(name, net(kind, options), (cases.BATCH, 3, pixels, pixels))
        )
    for name, (kind, inputs, width, stride, height, breadth) in cases.PARTS.items():
        module = part(kind, inputs, width, stride)
        np.savez_compressed(VALUES / f"{name}.npz", **measure(name, module, (cases.BATCH, inputs, height, breadth)))
    files = list(VALUES.iterdir())
    print(f"torch {torch.__version__}: {len(files)} files, {sum(path.stat().st_size for path in files):,} bytes")


if __name__ == "__main__":
    main()
