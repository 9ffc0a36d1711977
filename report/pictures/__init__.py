"""Pictures for papers and for the report's page: one style, drawn by matplotlib."""
