"""Which suggestion of find-lr trains best: short trainings at each of them.

    python benchmarks/find_lr.py                          # the table of docs/debugging.md
    python benchmarks/find_lr.py --settings plain adamw --epochs 5 --seeds 3

For each setting of resnet8_digits, one `find_lr` with its defaults, then a training at each suggestion, at the recipe's
rate and beyond the range (twice and five times its upper end), with the recipe's whole schedule on `--epochs` epochs,
once a seed. Printed are the means over the seeds of the validation accuracy and of the training loss of the last epoch.
"""

from __future__ import annotations

import argparse
import statistics

RECIPE = "resnet8_digits"
SETTINGS = {
    "resnet8_digits": {},
    "no warm-up": {"optimizer.warmup": "0 epochs"},
    "constant": {"optimizer.schedule": "constant", "optimizer.warmup": "0 epochs"},
    "no norm": {"model.name": "plain20", "model.depths": [1, 1, 1], "model.norm": "none"},
    "adamw": {"optimizer.name": "adamw", "optimizer.learning_rate": 1e-3, "optimizer.weight_decay": 0.02},
    "lion": {"optimizer.name": "lion", "optimizer.learning_rate": 1e-4, "optimizer.weight_decay": 0.1},
}


def measured(name: str, epochs: int, seeds: int) -> str:
    """The rows of one setting."""
    import cnnrecipes as cr
    from cnnrecipes.recipe import catalog

    keys = SETTINGS[name]
    found = cr.find_lr(RECIPE, progress=False, **keys)
    one = found.reading.suggestions
    if one is None:
        return f"| {name} | {found} | | | |"
    rates = {
        "minimum / 10": one.minimum_tenth,
        "valley": one.valley,
        "steepest": one.steepest,
        "high": one.high,
        "2 x high": 2 * one.high,
        "5 x high": 5 * one.high,
        "the recipe's": found.recipe_rate,
    }
    rates = {kind: float(f"{rate:.2g}") for kind, rate in rates.items()}
    cells = {rate: [] for rate in rates.values()}
    for seed in range(seeds):
        decay = [catalog.load(RECIPE).change(**keys).optimizer.weight_decay]
        grid = cr.rate_grid(
            RECIPE, rates=list(rates.values()), decays=decay, epochs=epochs, seed=seed, progress=False, **keys
        )
        for cell in grid.trainings:
            cells[cell.learning_rate].append(cell)
    rows = []
    for kind, rate in rates.items():
        own = [cell for cell in cells[rate] if not cell.diverged]
        if not own:
            rows.append(f"| {name} | {kind} | {rate:.2g} | diverged | |")
            continue
        accuracy = 100 * statistics.mean(cell.accuracy for cell in own)
        loss = statistics.mean(cell.loss for cell in own)
        lost = f" ({seeds - len(own)} diverged)" if len(own) < seeds else ""
        rows.append(f"| {name} | {kind} | {rate:.2g} | {accuracy:.1f}{lost} | {loss:.2g} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print("| setting | suggestion | rate | validation accuracy, % | training loss |\n|---|---|---|---|---|")
    for name in options.settings:
        print(measured(name, options.epochs, options.seeds), flush=True)


if __name__ == "__main__":
    main()
