"""Specs of measures: what is measured, under which group, at which stages."""
