"""Report room: the tidy table, the self-contained HTML page, the terminal table, the comparison of two runs."""
