"""Tables 2 to 9, typed a second time from the paper's text, line by line.

A line: name of the row, then its cells as printed, separated by "|". "-" is a dash or an empty cell; "." is a cell
that the text's merged rows leave open, which is not compared.
"""

from __future__ import annotations

COLUMNS = {
    "table2": ("backbone", "pretrain", "frames", "gflops", "params_m", "top1", "top5", "test_top1"),
    "table3": (
        "backbone",
        "pretrain",
        "frames",
        "gflops",
        "something_v2_top1",
        "something_v2_top5",
        "jester_top1",
        "jester_top5",
    ),
    "table4": ("backbone", "top1", "top5"),
    "table5": ("backbone", "pretrain", "frames", "gflops", "ucf101_top1", "hmdb51_top1"),
    "table6": ("gflops", "params_m", "top1", "top5"),
    "table7": ("gflops", "params_m", "top1", "top5"),
    "table8": ("gflops", "params_m", "top1", "top5"),
    "table9": ("frames", "gflops", "params_m", "videos_per_s", "top1"),
}

REREAD = {("table2", "TRN-Multiscale ResNet-50", "frames"): ("16", "8")}
"""Cells that the YAML has otherwise than the line of the text, and both: see the head of table2.yaml."""

LINES = {
    "table2": """
TSN 8f | ResNet-50 | Kinetics | 8 | 33 | 24.3 | 19.7 | 46.6 | -
TSN 16f | . | . | 16 | 65 | 24.3 | 19.9 | 47.3 | -
TRN-Multiscale BNInception | BNInception | ImageNet | 8 | 16 | 18.3 | 34.4 | - | 33.6
TRN-Multiscale ResNet-50 | . | . | 16 | 33 | 31.8 | 38.9 | 68.1 | -
TSM 8f | ResNet-50 | Kinetics | 8 | 33 | 24.3 | 45.6 | 74.2 | -
TSM 16f | . | . | 16 | 65 | 24.3 | 47.2 | 77.1 | 46.0
TSM_En | . | . | 24 | 98 | 48.6 | 49.7 | 78.5 | -
TSM RGB+Flow | . | . | 16+16 | - | 48.6 | 52.6 | 81.9 | 50.7
I3D | ResNet-50 | Kinetics | . | 306 | 28 | 41.6 | 72.2 | -
Non-local I3D | . | . | 32×2 | 335 | 35.3 | 44.4 | 76 | -
Non-local I3D + GCN | . | . | . | 605 | 62.2 | 46.1 | 76.8 | 45
S3D-G | BNInception | ImageNet | 64 | 142.8 | - | 48.2 | 78.7 | 42.0
R(2+1)D | ResNet-34 | Sports1M | 32 | 152 × 115 | 63.6 | 45.7 | - | -
ECO 8f | . | Kinetics | 8 | 32 | 47.5 | 39.6 | - | -
ECO 16f | . | . | 16 | 64 | 47.5 | 41.4 | - | -
ECO_En Lite | . | . | 92 | 267 | 150 | 46.4 | - | 42.3
ECO_En Lite RGB+Flow | . | . | 92+92 | - | 300 | 49.5 | - | 43.9
STM | ResNet-50 | ImageNet | 16×30 | 67 × 30 | 24.4 | 50.7 | 80.4 | 43.1
ABM | ResNet-50 | ImageNet | 16×3 | 106 | - | 46.1 | 74.3 | -
STH 8f | ResNet-50 | ImageNet | 8 | 31 | 23.2 | 46.8 | 76.5 | -
STH 16f | . | . | 16 | 61 | 23.2 | 48.3 | 78.1 | -
STH_En | . | . | 24 | 92 | 46.5 | 50.4 | 80.3 | 45.8
STH RGB+Flow | . | . | 16+16 | - | - | 53.2 | 82.2 | 48.0
""",
    "table3": """
TSN 8f | 2D ResNet-50 | Kinetics | 8 × 30 | 33 × 30 | 30.0 | 60.5 | 83.9 | 99.6
TSN 16f | . | . | 16 × 30 | 65 × 30 | 30.5 | 61.2 | 84.6 | 99.6
TRN-Multiscale | 2D BNInception | ImageNet | 25 × 10 | 99 × 10 | 48.8 | 77.6 | 95.3 | -
TRN-Multiscale second line | . | . | - | - | 55.5 | 83.1 | - | -
TSM 8f | 2D ResNet-50 | ImageNet | 8 × 6 | 33 × 6 | 61.2 | 87.1 | 97.0 | 99.9
TSM 16f | . | . | 16 × 6 | 65 × 6 | 63.1 | 88.2 | - | -
STM | 2D ResNet-50 | ImageNet | 8 × 30 | 33 × 30 | 62.3 | 88.8 | 96.6 | 99.9
ABM | 2D ResNet-34 | ImageNet | 16 × 3 | 106 | 61.3 | - | - | -
STH 8f | 2D ResNet-50 | ImageNet | 8 × 6 | 31 × 6 | 61.8 | 88.1 | 96.2 | 99.8
STH 16f | . | . | 16 × 6 | 61 × 6 | 63.6 | 88.9 | 96.5 | 99.9
""",
    "table4": """
TSN | ResNet-50 | 67.8 | 87.6
ARTNet | ResNet-18 | 69.2 | 88.3
ECO | BNInception+ResNet-18 | 70.7 | 89.4
S3D | Inception | 72.2 | 90.6
I3D | 3D Inception-v1 | 71.1 | 89.3
I3D RGB+Flow | - | 74.2 | 91.3
StNet | ResNet-101 | 71.4 | -
R(2+1)D | ResNet-34 | 72.0 | 90.0
R(2+1)D RGB+Flow | - | 73.9 | 90.9
CoST | ResNet-50 | 74.1 | 91.2
DynamoNet | ResNext101 | 66.3 | 86.7
ip-CSN | ResNet-50 | 70.8 | -
TSM | ResNet-50 | 74.1 | 91.2
STM | ResNet-50 | 73.7 | 91.6
STH | ResNet-50 | 74.1 | 91.6
""",
    "table5": """
C3D | 3D VGG-11 | Sports-1M | - | - | 82.3 | 51.6
STC | ResNet-101 | Kinetics | 64×3 | - | 93.7 | 70.5
TSN | 2D ResNet-50 | ImageNet+Kinetics | 16 | 65 × 30 | 91.7 | 65.1
ARTNet | 3D ResNet-18 | Kinetics | - | - | 94.3 | -
ECO | 2D BNInception+3D ResNet-18 | Kinetics | 92 | 267 | 94.8 | 72.4
I3D | 3D BNInception | Kinetics | 92 | 267 | 94.8 | 72.4
R(2+1)D | ResNet-34 | ImageNet+Kinetics | 32 | 152 × 115 | 96.8 | 74.5
ABM | 2D ResNet-50 | Kinetics | - | - | 95.1 | 72.7
TSM | 2D ResNet-50 | ImageNet+Kinetics | 16 | 65 × 30 | 95.9 | 73.5
STM | 2D ResNet-50 | ImageNet+Kinetics | 16 | 67 × 30 | 96.2 | 72.2
STH | ResNet-50 | ImageNet+Kinetics | 16 | 61 × 30 | 96.0 | 74.8
""",
    "table6": """
0 | 33.3 | 24.4 | 19.7 | 46.6
1/8 | 32.2 | 23.1 | 46.6 | 76.8
1/4 | 30.5 | 22.0 | 46.8 | 77.1
1/2 | 28.5 | 20.3 | 45.1 | 76.0
""",
    "table7": """
(2+1)D sequential | 37.9 | 27.6 | 42.7 | 72.5
(2+1)D parallel | 37.9 | 27.6 | 45.4 | 76.3
STH merge | 30.5 | 22.0 | 45.9 | 76.5
STH hybrid | 30.5 | 22.0 | 46.8 | 77.1
STH hybrid+attention | 30.5 | 23.2 | 47.8 | 77.9
""",
    "table8": """
Fixed | 30.5 | 23.2 | 47.8 | 77.9
Dilated | 30.5 | 23.2 | 48.4 | 78.2
""",
    "table9": """
I3D | 64 | 306 | 35.3 | 6.4 | 41.6
ECO 16f | 16 | 64 | 47.5 | 46.3 | 41.4
TSM 8f | 8 | 33 | 24.3 | 80.4 | 45.6
TSM 16f | 16 | 65 | 24.3 | 39.5 | 47.2
ABM-C-in | 8 × 3 | 53.0 | - | 28.0 | 44.1
ABM-A-in | 16 × 3 | 106.0 | - | 20.1 | 46.1
STH 8f | 8 | 30.6 | 23.2 | 68.8 | 46.8
STH 16f | 16 | 61.3 | 23.2 | 35.2 | 48.3
""",
}


def read_cells(table: str) -> dict[tuple[str, str], str]:
    """The printed text of each cell, by row and column."""
    cells = {}
    for line in LINES[table].strip().splitlines():
        row, *printed = (part.strip() for part in line.split("|"))
        for column, cell in zip(COLUMNS[table], printed, strict=True):
            cells[row, column] = cell
    return cells
