"""What a study consists of: factors, designs, trials and claims. Imports neither torch nor Ray."""
