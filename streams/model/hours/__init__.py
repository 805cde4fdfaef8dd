"""Calendars: service hours, holidays, worked days, and files of one's own."""
