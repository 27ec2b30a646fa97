"""The container's config: its keys, the types of their values, and the parser (`parse.Config`)."""
