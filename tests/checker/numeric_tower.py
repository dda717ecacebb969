"""The tests' type checker: beartype, for which an int is a float and a float is complex, as Python's typing has it."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
