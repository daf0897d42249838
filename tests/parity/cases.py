"""The networks, layers and blocks compared with PyTorch, for the tests and for record.py."""

from __future__ import annotations

CLASSES = 5
BATCH = 2

BASIC = (64, 128, 256, 512)
BOTTLENECK = (256, 512, 1024, 2048)
THIN = (8, 16, 16, 32)  # narrow stages, so that recorded files stay small


def residual(depths, widths, **options) -> tuple[str, dict]:
    return "ResNet", {"depths": depths, "widths": widths, "classes": CLASSES, **options}


# name -> (our architecture and options, pixels, PyTorch's class and options)
NETS = {
    "resnet18": (("resnet18", {}), 33, residual((2, 2, 2, 2), BASIC)),
    "resnet34": (("resnet34", {}), 64, residual((3, 4, 6, 3), BASIC)),
    "resnet50": (("resnet50", {}), 64, residual((3, 4, 6, 3), BOTTLENECK, bottleneck=True)),
    "resnet50_v1": (
        ("resnet50", {"variant": "v1"}),
        47,
        residual((3, 4, 6, 3), BOTTLENECK, bottleneck=True, first_strides=True),
    ),
    "resnext50": (("resnext50", {}), 64, residual((3, 4, 6, 3), BOTTLENECK, bottleneck=True, inner=0.5, groups=32)),
    "resnet20": (("resnet20", {}), 32, residual((3, 3, 3), (16, 32, 64), cifar=True, option="A")),
    "resnet20_odd": (("resnet20", {}), 31, residual((3, 3, 3), (16, 32, 64), cifar=True, option="A")),
    "resnet20_b": (("resnet20", {"shortcut": "B"}), 32, residual((3, 3, 3), (16, 32, 64), cifar=True)),
    **{
        f"thin_{kind}": (
            ("resnet18", {"norm": kind, "widths": THIN, "depths": (1, 1, 1, 1)}),
            pixels,
            residual((1, 1, 1, 1), THIN, kind=kind),
        )
        for kind, pixels in (("batch", 65), ("layer", 65), ("instance", 65), ("group", 64))
    },
    "vgg11": (("vgg11", {"norm": "none"}), 32, ("vgg", {"pixels": 32, "normalized": False})),
    "vgg11_bn": (("vgg11", {}), 64, ("vgg", {"pixels": 64, "normalized": True})),
    "alexnet": (("alexnet", {}), 95, ("alexnet", {"classes": CLASSES})),
}
# Shallow nets, whose gradients are compared in float32 with our kernels. In the others float32 may fall on both sides
# of a ReLU's kink: their gradients are compared in float64 with Keras' implementation.
SHALLOW = [name for name in NETS if name.startswith("thin")]
VGG11 = {"depths": (1, 1, 2, 2, 2), "widths": (64, 128, 256, 512, 512), "classes": CLASSES}

# a layer or block: name -> (kind, channels in, channels out, stride, height, width)
PARTS = {
    **{f"{kind}_norm": (kind, 8, 8, 1, 5, 7) for kind in ("batch", "layer", "instance", "group")},
    **{f"conv_{kernel}_{h}x{w}": (f"conv{kernel}", 4, 6, 2, h, w) for kernel in (1, 3, 7) for h, w in ((7, 8), (8, 5))},
    **{f"max_pool_{h}x{w}": ("max_pool", 4, 4, 2, h, w) for h, w in ((7, 8), (8, 5))},
    **{f"basic_{h}x{w}": ("basic", 8, 16, 2, h, w) for h, w in ((7, 8), (8, 5))},
    **{f"bottleneck_{h}x{w}": ("bottleneck", 8, 16, 2, h, w) for h, w in ((7, 8), (8, 5))},
}
