"""What the data doctor looks at, one file a subject."""
