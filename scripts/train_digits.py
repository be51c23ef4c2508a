"""Train the shipped weights of ``digits`` and ``digits_no_lrn``, or compare them over many seeds.

Usage::

    python -m scripts.train_digits                # trains and writes the shipped weights
    python -m scripts.train_digits --seeds 20     # compares; writes a JSON of the errors

Runs on one thread with deterministic algorithms, so that the same seed gives the same bytes on the
same machine and versions. The hyperparameters are the same for both networks and were fixed before
any test error was looked at. Needs the ``export`` and ``samples`` extras.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from lrn_deploy.bundle import sha256, write_atomic
from lrn_deploy.lrn import LrnSpec, activity
from lrn_deploy.models import WEIGHTS_FOLDER
from lrn_deploy.models.digits import Digits as DigitsNetwork
from lrn_deploy.models.digits_data import AMPLITUDE, SPLIT_SEED, Digits, load_split
from lrn_deploy.network.weights import initialize_he

TWINS = {"digits": True, "digits_no_lrn": False}
"""The networks, and whether they have LRN."""

SHIPPED_SEED = 0


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW, with a learning rate that falls to zero along a cosine.

    Attributes:
        epochs: Passes over the training images.
        batch: Images in a step.
        learning_rate: At the first step.
        weight_decay: AdamW's.
    """

    epochs: int = 40
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2


@contextmanager
def reproducible() -> Iterator[None]:
    """Make torch give the same bits again: one thread, deterministic algorithms.

    By their debug mode, as torch.use_deterministic_algorithms() loads a compiler for seconds.
    """
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)


@reproducible()
def train(lrn: bool, seed: int, data: Digits, recipe: Recipe | None = None) -> DigitsNetwork:
    """Train one network; the seed fixes its first weights and the order of the images.

    The convolutions of both twins start from the same weights, and they see the images in the same
    order, so that their errors can be compared in pairs.
    """
    recipe = recipe or Recipe()
    network = DigitsNetwork(lrn=lrn)
    initialize_he(network, seed)
    network.get_parameter("fc4.weight").data /= AMPLITUDE
    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    optimizer = torch.optim.AdamW(_groups(network, recipe))
    steps = recipe.epochs * math.ceil(len(inputs) / recipe.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    order = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(recipe.epochs):
        images = torch.randperm(len(inputs), generator=order)
        for start in range(0, len(images), recipe.batch):
            chosen = images[start : start + recipe.batch]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[chosen]), labels[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def _groups(network: DigitsNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """AdamW's parameter groups: each parameter moves in proportion to its own scale.

    Adam's steps do not depend on the size of the inputs, but here these are pixels, not of order
    1. Biases of convolutions scale with them and the last layer's weights against them; with these
    rates training is, but for rounding, that of the same network on normalised inputs.
    """
    scales = {
        name: AMPLITUDE if name.startswith("conv") and name.endswith("bias") else 1.0
        for name, _ in network.named_parameters()
    } | {"fc4.weight": 1 / AMPLITUDE}
    return [
        {
            "params": [parameter],
            "lr": recipe.learning_rate * scales[name],
            "weight_decay": recipe.weight_decay / scales[name],
        }
        for name, parameter in network.named_parameters()
    ]


def errors(network: nn.Module, data: Digits) -> int:
    """How many of the images the network gets wrong."""
    with torch.inference_mode():
        predicted: Tensor = network(torch.from_numpy(data.inputs)).argmax(dim=1)
    return int((predicted != torch.from_numpy(data.labels)).sum())


def lrn_activity(network: nn.Module, data: Digits) -> dict[str, dict[str, float]]:
    """For each LRN layer, quantiles of how far the images move its denominator (energy / k)."""
    found: dict[str, dict[str, float]] = {}
    x = torch.from_numpy(data.inputs)
    with torch.inference_mode():
        for name, layer in network.named_children():
            if isinstance(layer, nn.LocalResponseNorm):
                spec = LrnSpec(layer.size, layer.alpha, layer.beta, layer.k)
                values = activity(x.numpy(), spec)
                found[name] = {
                    label: round(float(np.quantile(values, q)), 4)
                    for label, q in (("median", 0.5), ("p90", 0.9), ("max", 1.0))
                }
            x = layer(x)
    return found


def versions() -> dict[str, str]:
    """The versions that the result depends on."""
    import sklearn

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def weights_file(network: nn.Module, record: dict[str, Any]) -> bytes:
    """The weights as safetensors, with ``record`` as JSON under the metadata key ``training``.

    One key, because safetensors writes several in an order that changes from run to run.
    """
    from safetensors.torch import save

    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    return save(tensors, metadata={"training": json.dumps(record, sort_keys=True)})


def ship(folder: Path, seed: int = SHIPPED_SEED, recipe: Recipe | None = None) -> dict[str, Any]:
    """Train both twins and write their weights; returns what was recorded about each."""
    recipe = recipe or Recipe()
    training, test = load_split()
    records: dict[str, Any] = {}
    for name, lrn in TWINS.items():
        network = train(lrn, seed, training, recipe)
        wrong = errors(network, test)
        record = {
            "network": name,
            "seed": seed,
            "recipe": asdict(recipe),
            "split": {"seed": SPLIT_SEED, "train": len(training.labels), "test": len(test.labels)},
            "test_errors": wrong,
            "test_error_rate": wrong / len(test.labels),
            "train_errors": errors(network, training),
            "lrn_activity": lrn_activity(network, test),
            "versions": versions(),
        }
        data = weights_file(network, record)
        write_atomic(folder / f"{name}.safetensors", data)
        records[name] = {**record, "sha256": sha256(data), "bytes": len(data)}
    return records


def compare(seeds: int, recipe: Recipe | None = None) -> dict[str, Any]:
    """Train both twins with seeds 0, 1, … and count their errors on the held-out images."""
    recipe = recipe or Recipe()
    training, test = load_split()
    wrong: dict[str, list[int]] = {name: [] for name in TWINS}
    for seed in range(seeds):
        for name, lrn in TWINS.items():
            wrong[name].append(errors(train(lrn, seed, training, recipe), test))
        click.echo(
            f"seed {seed}: {wrong['digits'][-1]} errors with LRN, "
            f"{wrong['digits_no_lrn'][-1]} without",
            err=True,
        )
    return {
        "what": "errors on the held-out digits, with and without LRN; one entry for each seed",
        "seeds": list(range(seeds)),
        "split": {"seed": SPLIT_SEED, "train": len(training.labels), "test": len(test.labels)},
        "recipe": asdict(recipe),
        "test_errors": wrong,
        "summary": summarize(wrong["digits"], wrong["digits_no_lrn"], len(test.labels)),
        "versions": versions(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor(),
            "threads": 1,
        },
    }


def summarize(with_lrn: list[int], without: list[int], images: int) -> dict[str, Any]:
    """Mean and standard deviation of the error rates in percent, and of their paired difference.

    The difference is with minus without, so a negative one speaks for LRN; its 95 % interval is
    Student's t over the seeds.
    """
    from scipy.stats import t  # type: ignore[import-untyped]  # scikit-learn brings it

    def spread(values: list[float]) -> dict[str, float]:
        return {"mean": statistics.fmean(values), "sd": statistics.stdev(values)}

    rates = [[100 * count / images for count in counts] for counts in (with_lrn, without)]
    pairs = [a - b for a, b in zip(*rates, strict=True)]
    difference = spread(pairs)
    half = float(t.ppf(0.975, len(pairs) - 1)) * difference["sd"] / math.sqrt(len(pairs))
    return {
        "unit": "percent of the held-out images",
        "digits": spread(rates[0]),
        "digits_no_lrn": spread(rates[1]),
        "difference": {
            **difference,
            "low95": difference["mean"] - half,
            "high95": difference["mean"] + half,
            "lrn_better": sum(pair < 0 for pair in pairs),
            "equal": sum(pair == 0 for pair in pairs),
            "lrn_worse": sum(pair > 0 for pair in pairs),
        },
    }


def processor() -> str:
    """The processor's model, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


@click.command()
@click.option("--seed", default=SHIPPED_SEED, show_default=True, help="Seed of the weights.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the weights, or with --seeds the JSON file.  [default: where they are shipped]",
)
@click.option("--seeds", type=click.IntRange(2), help="Compare the twins over this many seeds.")
def main(seed: int, output: Path | None, seeds: int | None) -> None:
    """Train the digit networks and write their weights, or compare them over many seeds."""
    if seeds is None:
        for record in ship(output or WEIGHTS_FOLDER, seed).values():
            click.echo(json.dumps(record, indent=2))
        return
    result = compare(seeds)
    write_atomic(
        output or Path("benchmarks/results/digits_lrn.json"),
        (json.dumps(result, indent=2) + "\n").encode(),
    )
    click.echo(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
