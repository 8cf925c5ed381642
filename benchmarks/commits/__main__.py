"""`python -m benchmarks.commits` times two commits."""

from benchmarks.commits.times import main

if __name__ == "__main__":
    main()
