"""Trains one trial on this process's share of the data: plain torch, no Ray."""
