"""Runs one trial, without Ray: plan, job, training, measuring, heartbeat, preemption, rows."""
