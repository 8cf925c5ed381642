"""What is measured on data and on policies: scales, quantiles, target and achieved returns."""
