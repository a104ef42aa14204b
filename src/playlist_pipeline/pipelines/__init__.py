"""The pipelines: the only wiring; a folder is a pipeline and gives it its name."""
