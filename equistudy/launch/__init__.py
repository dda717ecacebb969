"""Brings a cluster up, submits a study to it as a job, follows it, and takes the cluster down."""
