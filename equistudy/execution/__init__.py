"""The only room that imports Ray: Tune schedules trials, Train spreads one trial over workers."""
