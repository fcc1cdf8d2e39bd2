"""BatchNorm over several processes is BatchNorm over the whole batch; so are gradients and running statistics."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.training.group import close_group, open_group
from study.training.sync_norm import SyncedBatchNorm, synchronize_batch_norm

CUTS = (0, 1, 1, 6)
"""Where the batch is cut: shares of 1, 0 and 5 of its 6 items."""
CASES: dict[str, tuple[type[nn.Module], tuple[int, ...], torch.dtype, dict[str, Any]]] = {
    "1d": (nn.BatchNorm1d, (6, 3), torch.float64, {}),
    "2d": (nn.BatchNorm2d, (6, 3, 4, 5), torch.float64, {"momentum": 0.3, "eps": 1e-3}),
    "3d": (nn.BatchNorm3d, (6, 3, 2, 4, 5), torch.float64, {"momentum": None}),
    "float32": (nn.BatchNorm2d, (6, 3, 4, 5), torch.float32, {}),
}


def run(case: str, *, cut: tuple[int, int], synced: bool) -> dict[str, Tensor]:
    """Two steps of a small network on items ``cut`` of the batch, and what came of them."""
    kind, shape, dtype, options = CASES[case]
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(0, 0), kind(3, **options)).to(dtype)
    nn.init.uniform_(network[1].weight)
    nn.init.uniform_(network[1].bias)
    if synced:
        synchronize_batch_norm(network, torch.device("cpu"))
        assert isinstance(network[1], SyncedBatchNorm)
    found = {}
    for step in range(2):
        # A mean that is large beside the deviation: where digits are lost.
        values = torch.randn(shape, dtype=dtype) + 50
        weights = torch.randn(shape, dtype=dtype)
        inputs = values[slice(*cut)].clone().requires_grad_()
        output = network(inputs)
        (output * weights[slice(*cut)]).sum().backward()
        assert inputs.grad is not None
        found |= {f"output {step}": output.detach(), f"inputs {step}": inputs.grad}
    found |= {f"gradient {name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
    state = {name: value.to(torch.float64) for name, value in network.state_dict().items()}
    evaluated = network.eval()(torch.ones(shape, dtype=dtype)).detach()
    return found | state | {"evaluated": evaluated}


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    open_group(rank, 3, f"{folder}/meeting", torch.device("cpu"))
    cut = list(pairwise(CUTS))[rank]
    torch.save({case: run(case, cut=cut, synced=True) for case in CASES}, f"{folder}/{rank}.pt")
    close_group()


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=3)
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_three_processes_with_uneven_shares_are_one_batch(
    case: str, shares: list[dict[str, dict[str, Tensor]]]
) -> None:
    whole = run(case, cut=(0, 6), synced=False)
    parts = [share[case] for share in shares]
    assert all(list(part) == list(whole) for part in parts), "the state dict has other keys"
    tolerance = {"rtol": 1e-4, "atol": 2e-4} if case == "float32" else {"rtol": 1e-9, "atol": 1e-10}
    for name, expected in whole.items():
        values = [part[name] for part in parts]
        if name.startswith(("output", "inputs")):
            torch.testing.assert_close(torch.cat(values), expected, **tolerance)
        elif name.startswith("gradient"):
            torch.testing.assert_close(torch.stack(values).sum(0), expected, **tolerance)
        else:
            for value in values:
                torch.testing.assert_close(value, expected, **tolerance)
