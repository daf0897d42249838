"""docs/scale.md: its figures are recomputed, its recipe loads, its scripts are valid shell."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cnnrecipes._support.cluster import find_cluster
from cnnrecipes.keras_optim.recipe_schedule import build_schedule
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.toml import tomllib

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
N, VALIDATION, EPOCHS = 1_281_167, 50_000, 90
JPEG, IMAGE = 147_897_477_120 / N, 224 * 224 * 3
PARAMETERS, FLOPS = 25_557_032, 2 * 3 * 4_089e6
RATE = {"A100": 0.18 * 312e12 / FLOPS, "H100": 0.10 * 989e12 / FLOPS}
NVLINK = {"A100": 300e9, "H100": 450e9}
DECODED = 812 / 2  # images/s per core
CASES = ((1, 256), (8, 1024), (64, 8192))


def all_reduce(gpus: int, bandwidth: float) -> float:
    return 2 * (gpus - 1) / gpus * 4 * PARAMETERS / bandwidth


def step(gpu: str, gpus: int, batch: int, bandwidth: float | None = None) -> float:
    return batch / gpus / RATE[gpu] + (all_reduce(gpus, bandwidth) if bandwidth else 0)


def compute_rows():
    for gpus, batch in CASES:
        steps = N // batch
        both = " | ".join(f"{1e3 * step(gpu, gpus, batch):.1f} | {gpus * RATE[gpu]:,.0f}" for gpu in RATE)
        yield f"| {gpus} | {batch:,} | {batch // gpus} | {steps:,} | {steps * EPOCHS:,} | {both} |"


def reduce_rows():
    for gpus, batch, gbit in ((8, 1024, None), (64, 8192, 400), (64, 8192, 100), (64, 8192, 25)):
        cells = []
        for gpu in RATE:
            bandwidth = gbit * 1e9 / 8 if gbit else NVLINK[gpu]
            whole = step(gpu, gpus, batch, bandwidth)
            cells += [f"{all_reduce(gpus, bandwidth) / whole:.0%}", f"{batch / whole:,.0f}"]
        slow = [1e3 * all_reduce(gpus, gbit * 1e9 / 8 if gbit else NVLINK[gpu]) for gpu in RATE]
        times = f"{slow[0]:.1f}" if gbit else f"{slow[0]:.1f}; {slow[1]:.1f} (H100)"
        yield f"| {gpus} | {f'{gbit} Gbit/s' if gbit else 'NVLink'} | {times} | {' | '.join(cells)} |"


def input_rows():
    for gpus, batch in CASES[:2]:
        for gpu, rate in RATE.items():
            images, sent = gpus * rate, batch / gpus * IMAGE
            cores = -(-images // DECODED)
            cells = [f"{images:,.0f}", f"{images * JPEG / 1e9:.2f}", f"{cores:.0f}", f"{sent / 1e6:.1f}"]
            yield f"| {gpus} {gpu} | {' | '.join(cells)} | {1e3 * sent / 32e9:.1f} |"


def time_rows():
    for gpus, batch, gbit in ((1, 256, None), (8, 1024, None), (64, 8192, 400), (64, 8192, 100), (64, 8192, 25)):
        seconds = []
        for gpu in RATE:
            bandwidth = gbit * 1e9 / 8 if gbit else NVLINK[gpu] if gpus > 1 else None
            seconds.append(EPOCHS * (N // batch) * step(gpu, gpus, batch, bandwidth))
        times = " | ".join(f"{s / 60:.1f} min" if s < 3600 else f"{s / 3600:.2f} h" for s in seconds)
        link = f" {gbit} Gbit/s " if gbit else " NVLink " if gpus > 1 else " "
        yield f"| {gpus} |{link}| {times} |"


@pytest.mark.parametrize("rows", [compute_rows, reduce_rows, input_rows, time_rows], ids=lambda rows: rows.__name__)
def test_table_matches_its_formulas(rows):
    for row in rows():
        assert row in PAGE, row


def test_figures_in_the_text_match_their_formulas():
    slow = {gpu: batch / step(gpu, 64, batch, 25e9 / 8) for gpu in RATE for batch in (8192,)}
    one = {gpu: 1024 / step(gpu, 8, 1024, NVLINK[gpu]) for gpu in RATE}
    machine = 48 * DECODED
    for figure in (
        f"{JPEG / 1e3:.0f} kB",
        f"{FLOPS / 1e9:.1f} G",
        f"{N * EPOCHS * FLOPS:.2e}".replace("e+", "e") + " FLOPs",
        f"2,375 F / 312 T = {2375 * FLOPS / 312e12:.1%}",
        f"2,375 x 3.35 / 1.56 = {round(2375 * 3.35 / 1.56, -2):,.0f} images/s, or {5100 * FLOPS / 989e12:.1%}",
        f"{2375 / 909:.1f} times fewer",
        f"4 P = {4 * PARAMETERS / 1e6:.1f} MB",
        f"{all_reduce(8, 1) / 1e6:.1f} MB for 8, {all_reduce(64, 1) / 1e6:.1f} MB\nfor 64",
        f"work of {slow['A100'] / one['A100']:.1f}, and those of H100s that of {slow['H100'] / one['H100']:.1f}",
        f"{64 * RATE['A100'] * JPEG / 1e9:.0f} and {64 * RATE['H100'] * JPEG / 1e9:.0f} GB/s",
        f"n j = {N * JPEG / 1e9:.0f} GB",
        f"90 n / 2,375 is {90 * N / 2375 / 3600:.1f} h",
        f"{machine:,.0f} images/s",
        f"{machine / (8 * RATE['H100']):.0%} of",
        f"take {N * EPOCHS / machine / 3600:.2f} h instead",
        f"{8 * DECODED:,.0f} images/s of 4,031",
        f"{789 / 371:.1f} times fewer pixels",
        f"50,000 / (3 x 18,313) = {VALIDATION / 3 / 8 / RATE['A100']:.1f} s",
        f"50,000 / 19,488 = {VALIDATION / machine:.1f} s with 48 cores, {90 * VALIDATION / machine / 60:.1f} min",
        f"8 P = {8 * PARAMETERS / 1e6:.0f} MB: {8 * PARAMETERS / 1e9:.1f} s",
        f"64 H100 takes {156 * step('H100', 64, 8192, 50e9):.1f} s",
        f"(n + 50,000) / 19,488 = {(N + VALIDATION) / machine:.0f} s",
    ):
        assert figure in PAGE, figure


def test_quoted_benchmark_results_are_in_the_benchmarks_page():
    benchmarks = (Path(__file__).parents[1] / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert "| photos | 812 |" in benchmarks
    assert re.search(r"kept crops.*\| 1\.96 \|", benchmarks)


def test_recipe_loads_and_its_learning_rate_is_scaled():
    text = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
    whole = Recipe.from_dict(tomllib.loads(text), "docs/scale.md")
    steps = N // whole.data.batch_size
    planned = build_schedule(whole.optimizer, whole.train, steps, whole.data.batch_size)
    assert float(planned(5 * steps)) == pytest.approx(3.2, rel=1e-3)
    assert float(planned(5 * steps // 2)) == pytest.approx(1.6, rel=1e-2)
    for key in ("optimizer.scale_rate", "train.sync_batch_norm", "train.precision", "data.cache", "train.microbatches"):
        assert key in PAGE


def test_scripts_are_valid_shell_and_tf_config_is_parsed():
    scripts = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    assert len(scripts) == 3
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    config = re.search(r"export TF_CONFIG='(.*)'", PAGE)[1]
    cluster = find_cluster({"TF_CONFIG": config})
    assert (cluster.workers, cluster.index) == (("10.0.0.1:12345", "10.0.0.2:12345"), 0)
    slurm = {"SLURM_JOB_NODELIST": "gpu[1-8]", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "MASTER_PORT": "7000"}
    assert find_cluster(slurm).workers[3] == "gpu4:7000"
