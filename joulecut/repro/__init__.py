"""The papers that joulecut reproduces: each of their figures beside ours, with a verdict."""
