"""The page ``reports/report.html``, drawn from a bundle's manifest and reports and nothing else."""
