"""What bold print says."""

from __future__ import annotations

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper, label


def check_bold(paper: Paper, result: RuleResult) -> None:
    """In columns where something is bold: is it the best, and are equals bold too?"""
    for table in paper.tables.values():
        for name, column in table.columns.items():
            values = {
                row.row: value
                for row in table.rows
                if isinstance(value := row.values[name], int | float) and column.unit == "percent"
            }
            bold = [row.row for row in table.rows if name in row.bold and row.row in values]
            if not bold:
                continue
            result.checked += len(values)
            best = max(values.values())
            where = f"{label(table)}, {column.header}"
            winners = [row for row, value in values.items() if value == best]
            printed = ", ".join(f"{row}: {values[row]}" for row in bold)
            if beaten := [row for row in bold if values[row] < best]:
                result.add(
                    "doubt",
                    where,
                    printed,
                    f"bold, and not the best of its column: {', '.join(beaten)}",
                    evidence=f"{best} stands beside {', '.join(winners)}",
                )
            if plain := [row for row in winners if row not in bold]:
                result.add(
                    "doubt",
                    where,
                    printed,
                    f"as good, and not bold: {', '.join(plain)}",
                    evidence=f"{best} stands beside {', '.join(winners)}",
                )
