"""The only package that imports Ray, beside `launch`: Tune schedules trials, Train spreads one over workers."""
