"""What the platform costs, as ratios of one run, written to runs/bench. Not part of the library."""
