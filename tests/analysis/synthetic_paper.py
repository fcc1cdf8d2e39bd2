"""A small invented paper without a defect, and the means to plant one."""

from __future__ import annotations

import copy
from typing import Any

from study.analysis.lint import CountedNetwork, Paper
from study.analysis.lint.text import PublishedText
from study.analysis.published import PublishedTable

MACS, DOUBLED = "MACs", "2 x MACs"


def _table(number: int, columns: dict[str, str], rows: list[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    return {
        "name": f"table{number}",
        "title": "A table.",
        "source": f"Nobody, Table {number}",
        "setting": "invented",
        "columns": {name: {"header": name, "unit": unit} for name, unit in columns.items()},
        "rows": [
            {
                "row": row["row"],
                "printed": row["printed"],
                "origin": "cited" if "[" in row["printed"] else "measured",
                "values": dict(zip(columns, row["cells"], strict=True)),
                **{key: value for key, value in row.items() if key not in ("row", "printed", "cells")},
            }
            for row in rows
        ],
        **rest,
    }


COMPARISON = {
    "backbone": "text",
    "pretrain": "text",
    "frames": "text",
    "gflops": "GMAC per video",
    "params_m": "million",
    "top1": "percent",
    "top5": "percent",
}
ABLATION = {"gflops": "GMAC per view", "params_m": "million", "top1": "percent", "top5": "percent"}
NET, SET = "Net-50", "ImageNet"

CLEAN: dict[str, Any] = {
    "table2": _table(
        2,
        COMPARISON,
        [
            {"row": "Base 8f", "printed": "Base [5]", "cells": [NET, SET, "8", 10.0, 5.0, 40.0, 70.0]},
            {"row": "Base 16f", "printed": "Base [5]", "cells": [NET, SET, "16", 20.0, 5.0, 42.0, 72.0]},
            {"row": "Rival", "printed": "Rival [6]", "cells": ["Big-9", SET, "32×2", 80, 9.5, 43.1, 73.0]},
            {"row": "Ours 8f", "printed": "Ours", "cells": [NET, SET, "8", 8.0, 4.0, 44.0, 74.0]},
            {"row": "Ours 16f", "printed": "Ours", "cells": [NET, SET, "16", 16.0, 4.0, 46.0, 76.0]},
            {
                "row": "Ours_En",
                "printed": "Ours_En",
                "cells": [NET, SET, "24", 24.0, 8.0, 48.0, 78.0],
                "parts": ["Ours 8f", "Ours 16f"],
                "bold": ["top1", "top5"],
            },
        ],
        protocol={"datasets": ["toy"], "clips": 1},
    ),
    "table3": _table(
        3,
        ABLATION,
        [
            {"row": "0", "printed": "0", "cells": [10.0, 5.0, 39.1, 69.2]},
            {"row": "1/4", "printed": "1/4", "cells": [8.0, 4.0, 45.2, 75.3]},
            {"row": "1/2", "printed": "1/2", "cells": [6.0, 3.0, 43.3, 73.4]},
        ],
        protocol={"datasets": ["toy"], "clips": 2, "frames": "8", "pretrain": SET},
        linear=["gflops", "params_m"],
    ),
    "table4": _table(
        4,
        COMPARISON,
        [
            {
                "row": "Base 8f",
                "printed": "Base [5]",
                "cells": [NET, SET, "8 × 6", "10.0 × 6", 5.1, 60.0, 80.0],
            },
            {"row": "Ours 8f", "printed": "Ours", "cells": [NET, SET, "8 × 6", "8.0 × 6", 4.1, 64.0, 84.0]},
        ],
        protocol={"datasets": ["big"], "clips": 2},
    ),
    "table5": _table(
        5,
        {"frames": "text", "gflops": "GMAC per video", "params_m": "million", "top1": "percent"},
        [
            {"row": "Rival", "printed": "Rival [6]", "cells": ["64", 80, 9.5, 43.1]},
            {"row": "Ours 8f", "printed": "Ours", "cells": ["8", 8.0, 4.0, 44.0]},
        ],
        protocol={"datasets": ["toy"], "clips": 1, "pretrain": SET},
    ),
    "table1": _table(
        1,
        {"first": "count", "hybrid": "count", "last": "count", "blocks": "count", "params_m": "million"},
        [
            {"row": "one", "printed": "one", "cells": [100, 100, 400, 2, None]},
            {"row": "two", "printed": "two", "cells": [200, 200, 800, 1, None]},
            {"row": "all", "printed": "all", "cells": [None, None, None, None, 1.06]},
        ],
    ),
    "text": {
        "name": "text",
        "source": "Nobody",
        "citing": "section 4",
        "datasets": {
            "toy": {
                "name": "Toy",
                "place": "section 4",
                "classes": 10,
                "videos": 1000,
                "splits": {"train": 800, "val": 200},
                "reference": "3",
            },
            "big": {"name": "Big", "place": "section 4", "classes": 20, "videos": 5000, "reference": "4"},
        },
        "pretraining": {SET: "2"},
        "years": {"2": 2009, "3": 2015, "4": 2016, "5": 2018, "6": 2019},
        "architectures": [
            {
                # Stem 3 x 9 x 10 + 20 = 290. Stage one: 10 x 100 + 6 x 100 x 100 + 100 x 400 + 2 x 600 = 102,200 and
                # the shortcut 10 x 400 + 800 = 4,800; again with 400 in: 141,200. Stage two: 400 x 200 +
                # 6 x 200 x 200 + 200 x 800 + 2 x 1,200 = 482,400, shortcut 320,000 + 1,600. Classifier 8,010.
                # Together 1,060,500.
                "table": "table1",
                "stages": ["one", "two"],
                "stem": [3, 3],
                "stem_channels": 10,
                "p": "1/2",
                "classes": 10,
                "params": ["table1", "all", "params_m"],
                "source": "section 3",
            }
        ],
        "statements": [
            {
                "name": "gain",
                "place": "section 4",
                "quote": "4.0 points",
                "relation": "difference",
                "value": 4.0,
                "cells": [["table2", "Ours 8f", "top1"], ["table2", "Base 8f", "top1"]],
            },
            {
                # 9.95..10.05 / 7.95..8.05 is 1.236..1.264: 1.2 is right before rounding, though 10 / 8 is 1.25.
                "name": "cheaper",
                "place": "section 4",
                "quote": "1.2x cheaper",
                "relation": "ratio",
                "value": 1.2,
                "cells": [["table2", "Base 8f", "gflops"], ["table2", "Ours 8f", "gflops"]],
            },
            {
                "name": "smaller",
                "place": "section 4",
                "quote": "smaller",
                "relation": "below",
                "cells": [["table2", "Ours 8f", "params_m"], ["table2", "Base 8f", "params_m"]],
            },
            {
                "name": "best",
                "place": "section 4",
                "quote": "the best",
                "relation": "best",
                "cells": [["table3", "1/4", "top1"]],
            },
            {
                "name": "falls",
                "place": "section 4",
                "quote": "falls with p",
                "relation": "decreasing",
                "cells": [["table3", key, "gflops"] for key in ("0", "1/4", "1/2")],
            },
            {
                "name": "kernel",
                "place": "section 3",
                "quote": "6 weights",
                "relation": "product_sum",
                "value": 6,
                "terms": [[0.5, 3], [0.5, 9]],
            },
        ],
    },
}

COUNTED = {
    ("table2", "Base 8f"): (10.02, 5.0),
    ("table2", "Base 16f"): (20.04, 5.0),
    ("table2", "Ours 8f"): (8.02, 4.0),
    ("table2", "Ours 16f"): (16.04, 4.0),
    ("table3", "0"): (10.02, 5.0),
    ("table3", "1/4"): (8.02, 4.0),
    ("table3", "1/2"): (6.02, 3.0),
    ("table4", "Base 8f"): (10.02, 5.0),
    ("table4", "Ours 8f"): (8.02, 4.0),
    ("table5", "Ours 8f"): (8.02, 4.0),
}
"""Operations and parameters with 10 classes; 10 classes more are 0.1 M."""


class Draft:
    """A paper that can be changed before it is checked."""

    def __init__(self) -> None:
        self.data = copy.deepcopy(CLEAN)
        self.counted = dict(COUNTED)

    def row(self, table: str, key: str) -> dict[str, Any]:
        """A row as data."""
        row: dict[str, Any] = next(row for row in self.data[table]["rows"] if row["row"] == key)
        return row

    def set(self, table: str, key: str, **values: Any) -> None:
        """Print other values in a row."""
        self.row(table, key)["values"].update(values)

    def statement(self, name: str) -> dict[str, Any]:
        """A statement as data."""
        found: dict[str, Any] = next(s for s in self.data["text"]["statements"] if s["name"] == name)
        return found

    def build(self) -> Paper:
        """The paper."""
        tables = {k: PublishedTable.model_validate(v) for k, v in self.data.items() if k != "text"}
        counted = {
            key: CountedNetwork({10: params, 20: params + 0.1}, {MACS: gmacs, DOUBLED: 2 * gmacs})
            for key, (gmacs, params) in self.counted.items()
        }
        return Paper(tables, PublishedText.model_validate(self.data["text"]), counted)
