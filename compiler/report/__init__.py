"""What people read: the table of cuts and the self-contained HTML page."""
