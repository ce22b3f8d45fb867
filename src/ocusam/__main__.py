"""`python -m ocusam` is the command `ocusam`."""

from ocusam.cli.main import main

if __name__ == "__main__":
    main()
