"""The command line: python -m equistudy."""

from equistudy.cli.commands import main

if __name__ == "__main__":
    main()
