"""Trains one trial on this process's share of the data, in plain torch without Ray."""
