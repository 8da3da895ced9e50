"""Networks and data sets that joulecut trains and exports."""
