"""`python -m blasso_flow` is the command `blasso-flow`."""

from blasso_flow.cli import main

if __name__ == "__main__":
    main()
