"""The layers: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "study"

# What the modules of each room may import from this package, besides their own room.
BASE = {"study", "study.errors", "study.registry", "study.scores", "study.seeding"}
ROOMS = {
    "study.spec": BASE,
    "study.kernels": BASE,
    "study.data": BASE | {"study.spec"},
    "study.models": BASE | {"study.spec", "study.kernels"},
    "study.training": BASE | {"study.spec", "study.data", "study.models"},
    "study.cost": BASE | {"study.spec", "study.kernels", "study.models"},
    "study.running": BASE | {"study.spec", "study.data", "study.models", "study.training", "study.cost"},
    "study.tracking": BASE | {"study.spec"},
    "study.analysis": BASE | {"study.spec"},
    "study.reporting": BASE | {"study.spec", "study.analysis"},
}
TOP = {"study.commands", "study.cli", "study.notebook", "study.notebook_views"}
CONFINED = {"mlflow": {"study.tracking"}, "ray": {"study.running.ray_tune"}}
NO_TORCH = (
    "study.errors",
    "study.registry",
    "study.scores",
    "study.seeding",
    "study.spec",
    "study.analysis",
    "study.cli",
)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {
                f"{node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" in MODULES
            }
    return names


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_downwards(module: str) -> None:
    home = room(module)
    if home in TOP:
        return
    allowed = ROOMS.get(home, BASE)
    ours = {name for name in imports(MODULES[module]) if name.split(".")[0] == "study"}
    upward = {name for name in ours if room(name) not in allowed | {home}}
    assert not upward, f"{module} imports {sorted(upward)}"


@pytest.mark.parametrize(("library", "homes"), CONFINED.items())
def test_edges_stay_at_the_edge(library: str, homes: set[str]) -> None:
    users = {name for name, path in MODULES.items() if library in {n.split(".")[0] for n in imports(path)}}
    outside = {
        name for name in users if not any(name == home or name.startswith(home + ".") for home in homes)
    }
    assert users, f"nothing imports {library}"
    assert not outside


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith(NO_TORCH)))
def test_light_rooms_never_import_torch(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(MODULES[module])} & {"torch", "torchvision"}


def test_no_import_cycles() -> None:
    graph = {name: {n for n in imports(path) if n in MODULES and n != name} for name, path in MODULES.items()}
    # A package's __init__ is imported with each of its modules; only explicit imports count here.
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for following in sorted(graph[name]):
                visit(following, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (
            "study.cli, study.commands.plan, study.running.plan",
            {"torch", "torchvision", "ray", "mlflow", "fvcore", "decord", "matplotlib", "pandas"},
        ),
        # Others draw its figures.
        ("study.commands.report", {"torch", "ray", "fvcore", "decord", "matplotlib", "seaborn"}),
    ],
)
def test_what_is_slow_to_import_is_imported_where_it_is_used(modules: str, without: set[str]) -> None:
    code = f"import sys, {modules}; print(sorted({without} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_models_and_costs_need_no_ray_mlflow_or_decord() -> None:
    code = (
        "import sys\n"
        "for name in ('ray', 'mlflow', 'decord', 'av', 'fvcore'): sys.modules[name] = None\n"
        "import study.models.build, study.cost.count, study.running.run_trial, study.running.inline\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_no_test_imports_ray_before_it_has_its_token() -> None:
    """Ray takes its authentication from the environment when it is first imported, for the life of the process."""
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "ray"], path
