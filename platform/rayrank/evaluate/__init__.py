"""How rankers do on the test rows, beside the baselines one would otherwise run."""
