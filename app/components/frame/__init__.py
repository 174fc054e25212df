"""What all pages share: layout, address, tables, charts, export, how values read."""
