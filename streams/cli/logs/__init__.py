"""Commands over captured logs: analyze, explain, replay, compare, score, measure speed."""
