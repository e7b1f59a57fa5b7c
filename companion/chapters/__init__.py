"""One module per chapter: parameters, experiments, claims, figures."""
