"""The only package besides `launch` that imports Ray: Tune schedules trials, Train spreads one over workers."""
