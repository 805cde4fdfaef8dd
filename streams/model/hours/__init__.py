"""Calendars: service hours, holidays, worked days, and calendars defined in settings."""
