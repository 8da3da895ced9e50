"""One pass a file: Graph to Graph."""
