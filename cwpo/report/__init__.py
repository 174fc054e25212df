"""From rows to what people read: columns, tables, sentences, terms, numbers."""
