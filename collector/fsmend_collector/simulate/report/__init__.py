"""The report of a simulation: results as plain records, and one HTML file with pictures of them."""
