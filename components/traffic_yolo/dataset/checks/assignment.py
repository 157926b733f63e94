"""The cheapest pairing of rows and columns, in which staying alone has a price; forty lines, so scipy stays out."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def assign(cost: FloatArray, alone: float) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column once at most, that make the sum of costs smallest; in the rows' order.

    `cost` (n, m) finite. A row that stays alone costs `alone`, so no pair dearer than that is made. Optimal: shortest
    augmenting paths (Jonker and Volgenant 1987), one numpy step for each column that a path visits; 256 tracks against
    256 boxes take well under a second.
    """
    if cost.ndim != 2 or not np.isfinite(cost).all():
        raise ValueError(f"cost must be a finite matrix; found shape {cost.shape}")
    # Rows and columns that nobody would pair with stay alone in every optimum
    rows, columns = (np.flatnonzero((cost < alone).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    few = cost[np.ix_(rows, columns)]
    # One more column for each row, where it may stay alone
    owner = _owners(np.concatenate([few, np.full((len(rows), len(rows)), float(alone))], axis=1))  # (m + n,)
    pairs = [(int(rows[owner[c]]), int(columns[c])) for c in range(len(columns)) if owner[c] >= 0]
    return sorted(pair for pair in pairs if cost[pair] < alone)


def _owners(cost: FloatArray) -> IntArray:
    """(columns,) the row of each column, -1 for none; every row has a column. Needs as many columns as rows."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1, np.int64)
    for start in range(rows):
        shortest, came_from = np.full(columns, np.inf), np.full(columns, -1, np.int64)
        done = np.zeros(columns, bool)
        row, column, length = start, -1, 0.0
        while True:
            reached = length + cost[row] - row_price[row] - column_price  # (columns,)
            better = ~done & (reached < shortest)
            shortest[better], came_from[better] = reached[better], column
            column = int(np.argmin(np.where(done, np.inf, shortest)))
            length = float(shortest[column])
            done[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        passed = done & (shortest < length)
        row_price[start] += length
        row_price[owner[passed]] += length - shortest[passed]
        column_price[passed] -= length - shortest[passed]
        while column >= 0:
            before = int(came_from[column])
            owner[column] = start if before < 0 else owner[before]
            column = before
    return owner
