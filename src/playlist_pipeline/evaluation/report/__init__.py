"""The report: what was measured as one HTML page, and as tables in the README."""
