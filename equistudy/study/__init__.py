"""The words a study is written in: factors, designs, trials, claims; no torch, no Ray."""
