"""`python -m kpasim` is the command `kpasim`."""

from kpasim.cli.main import main

if __name__ == "__main__":
    main()
