"""The alert rules, by what they are about: links, error budgets, submissions, the pipeline."""
