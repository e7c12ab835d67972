"""All agents of a template brought to a version: by a job, for staff."""
