"""Log files and captured folders: writing, reading, capturing from topics, playing back."""
