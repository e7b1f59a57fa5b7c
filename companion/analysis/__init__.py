"""What several chapters measure with: max-margin solvers, scores, fits."""
