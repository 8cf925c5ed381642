"""Rates, models and made-up data that the sections measure with."""
