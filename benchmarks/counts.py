"""The options of a benchmark that are counts."""

import argparse

__all__ = ["read_counts"]


def read_counts(description: str | None, **defaults: int) -> argparse.Namespace:
    """The command line of a benchmark whose options are all whole numbers, each with its default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    return parser.parse_args()
