"""The command line: python -m equistudy."""

from equistudy.command_line.commands import main

if __name__ == "__main__":
    main()
