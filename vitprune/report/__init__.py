"""Results -> tables, charts and pages. Nothing here needs torch."""
