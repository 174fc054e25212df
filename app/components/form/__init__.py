"""The form of New run: what it holds, its address, and its place in the session.

A field's way: `declared` (what is said about it) and `fields` (the rest from the run configuration), `field_values`
(its values and what its widget holds), `configuration` (the same for all fields of a run), `form` (all that New run
holds), and from there `widgets` and `show_form` (drawn), `address` and `yaml_file` (written), `plan_panel` (queued).
"""
