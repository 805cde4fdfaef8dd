"""The alert rules by subject: links, error budgets, submissions, the pipeline."""
