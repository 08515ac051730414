"""How well a number is predicted: by how much it is missed, and whether its order is right."""

import numpy as np
import pandas as pd


def mean_absolute_error(label: np.ndarray, score: np.ndarray) -> float:
    """In the label's unit; NaN of none. label, score float [n]; ValueError for any that is NaN."""
    return float(absolute_errors(label, score).mean()) if len(label) else float("nan")


def rank_correlation(label: np.ndarray, score: np.ndarray) -> float:
    """Spearman's: the correlation of their ranks, ties at their mean. From -1 to 1, 0 for a guess;
    NaN where all labels, or all scores, are alike. label, score float [n]."""
    absolute_errors(label, score)
    of_label, of_score = (pd.Series(values).rank().to_numpy() for values in (label, score))
    return weighted_correlation(of_label, of_score, np.ones(len(label)))


def weighted_correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Pearson's, each pair counting `weight` times; NaN where x or y does not vary."""
    whole = weight.sum()
    if whole == 0:
        return float("nan")
    x, y = x - weight @ x / whole, y - weight @ y / whole
    scale = np.sqrt((weight @ (x * x)) * (weight @ (y * y)))
    return float(weight @ (x * y) / scale) if scale > 0 else float("nan")


def weighted_ranks(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Ranks of a table in which row k stands `weight[k]` times, ties at their mean.

    codes int [n]: the values' dense ranks from 0.
    """
    of_value = np.bincount(codes, weights=weight)
    return (np.cumsum(of_value) - of_value / 2)[codes]


def absolute_errors(label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """float64 [n]. ValueError for lengths that differ, and for labels or scores that are NaN."""
    if len(label) != len(score):
        raise ValueError(f"lengths differ: {len(label)} labels, {len(score)} scores")
    for name, values in (("labels", label), ("scores", score)):
        if np.isnan(values).any():
            raise ValueError(f"{int(np.isnan(values).sum())} {name} are NaN")
    return np.abs(np.asarray(score, np.float64) - np.asarray(label, np.float64))
