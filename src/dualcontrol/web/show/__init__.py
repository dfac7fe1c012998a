"""What people read: content by kind, forms from schemas, differences, times and sentences; no page and no store."""
